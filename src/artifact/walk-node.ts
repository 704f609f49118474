/** Collects, while a graph is walked, what its nodes say of stacking; axes that come from constants are known only at the graph's end. */
import { hazardOfNode, hazardOfOperator, worksOverAxes } from './batch-hazards.ts'

/** A node as the walk has read it. */
export interface NodeFacts {
  opType: string
  domain: string
  inputs: string[]
  axes: readonly number[] | undefined
  axis: number | undefined
  isTraining: boolean
}

/** Might the node forbid stacking? */
export function isSuspect({ opType, isTraining }: NodeFacts): boolean {
  return isTraining || worksOverAxes(opType) || hazardOfOperator(opType) !== undefined
}

export class HazardCollector {
  readonly #hazards = new Set<string>()

  /** Distinct, in order of discovery. */
  get hazards(): readonly string[] {
    return [...this.#hazards]
  }

  /** Judges one node; `constantOf` knows the small integer tensors that its graph sees, complete once the graph was read. */
  judge(node: NodeFacts, constantOf: (name: string) => readonly number[] | undefined): void {
    const byName = hazardOfOperator(node.opType)
    if (byName !== undefined) {
      this.#hazards.add(byName)
      return
    }
    const axesInput = takesAxesAsInput(node.opType) ? (node.inputs[1] ?? '') : ''
    const fromInput = axesInput === '' ? undefined : constantOf(axesInput)
    const hazard = hazardOfNode({
      opType: node.opType,
      axes: node.axes ?? (node.opType.startsWith('Reduce') ? fromInput : undefined),
      axis: node.axis ?? (node.opType.startsWith('Cum') ? fromInput?.[0] : undefined),
      isComputed: node.axes === undefined && axesInput !== '' && fromInput === undefined,
      isTraining: node.isTraining,
    })
    if (hazard !== undefined) this.#hazards.add(hazard)
  }
}

/** Reductions since opset 13 or 18, and running sums, take their axes as a second input. */
function takesAxesAsInput(opType: string): boolean {
  return opType.startsWith('Reduce') || opType.startsWith('Cum')
}
