/** Models made for one purpose each: datatypes, batch dimensions, weights in odd places, other files, and bad intentions. */
export { giantAttribute, hugeDeclared } from './bomb-structure.ts'
export { endlessFolding } from './bomb-work.ts'
export type { Bomb } from './bombs.ts'
export { BOMBS } from './bombs.ts'
export type { CheckedModel } from './checked-model.ts'
export { constantNode, functionWithBranches, functionWithConstant } from './constants.ts'
export { branches, nested, repeated, scanned } from './control-flow.ts'
export { crashing, POISON, poisonInputs } from './crashing.ts'
export {
  addOne,
  centredOverBatch,
  fixedBatch,
  identity,
  reshaped,
  softmaxOverBatch,
  sumAndDifference,
  tableLookup,
} from './elementary.ts'
export type { ReferencePlace } from './external.ts'
export { ESCAPING_LOCATIONS, externalAt, SIDECARS, sidecar } from './external.ts'
export {
  constantOfShapeBomb,
  epContext,
  overflowingDims,
  truncated,
  unknownDomain,
  unknownOperator,
  wrongRawLength,
} from './hostile.ts'
export type { HugeSize } from './huge.ts'
export { huge, OVER_TWO_GIB } from './huge.ts'
export { slow } from './slow.ts'
export type { SmallFamily } from './small-families.ts'
export { growing, HALF_FAMILY, SMALL_FAMILIES } from './small-families.ts'
export { diesOfOnesToo, diesOfZeros, neverEndsBelowTwo } from './touchy.ts'
