/**
 * Operators that make rows of a stacked batch depend on each other. A name here is a verdict: random draws may miss what a
 * quantisation range or a reduction over the batch does on unlucky rows.
 */
const DENIED: ReadonlySet<string> = new Set(['NonZero', 'Unique', 'NonMaxSuppression', 'Multinomial', 'Bernoulli'])
const DENIED_PREFIXES: readonly string[] = ['DynamicQuantize', 'Random']
/** Fused forms that quantise at run time by the range of the whole batch. */
const DENIED_FUSED: ReadonlySet<string> = new Set(['MatMulIntegerToFloat'])
/** Scatter the whole shape into one number, or reduce over `axes`. */
const REDUCTIONS = /^(?:Reduce[A-Z]\w*|ArgMax|ArgMin|MeanVarianceNormalization)$/
/** Work along one `axis`, dimension 0 only when told so. */
const ALONG_AXIS: ReadonlySet<string> = new Set([
  'CumSum',
  'CumProd',
  'TopK',
  'Softmax',
  'LogSoftmax',
  'Hardmax',
  'LpNormalization',
])

/** What a node says of the axes it works over. */
export interface NodeAxes {
  readonly opType: string
  /** Attribute `axes`, or the constant that the node takes them from; undefined: none given. */
  readonly axes: readonly number[] | undefined
  /** Attribute `axis`; undefined: none given. */
  readonly axis: number | undefined
  /** The axes come from a tensor that is no constant. */
  readonly isComputed: boolean
  readonly isTraining: boolean
}

/** Does the operator need a second look at its axes? Most do not, and a walk meets a million nodes. */
export function worksOverAxes(opType: string): boolean {
  return REDUCTIONS.test(opType) || ALONG_AXIS.has(opType)
}

/** Why an operator forbids stacking by its name alone. */
export function hazardOfOperator(opType: string): string | undefined {
  if (DENIED.has(opType) || DENIED_FUSED.has(opType) || DENIED_PREFIXES.some((prefix) => opType.startsWith(prefix))) {
    return `operator ${opType}`
  }
  return undefined
}

/** Why a node forbids stacking, or undefined. Negative axes count from the end and are left to the draws. */
export function hazardOfNode(node: NodeAxes): string | undefined {
  const { opType } = node
  if (opType === 'BatchNormalization' && node.isTraining) return 'operator BatchNormalization in training mode'
  if (REDUCTIONS.test(opType)) {
    const axes = node.axes ?? (node.axis === undefined ? undefined : [node.axis])
    if (node.isComputed) return `operator ${opType} over axes computed at run time`
    if (opType.startsWith('Arg')) return (node.axis ?? 0) === 0 ? `operator ${opType} over axis 0` : undefined
    if (opType === 'MeanVarianceNormalization' && axes === undefined)
      return 'operator MeanVarianceNormalization over axis 0'
    if (axes === undefined || axes.length === 0) return `operator ${opType} over all axes`
    return axes.includes(0) ? `operator ${opType} over axis 0` : undefined
  }
  return ALONG_AXIS.has(opType) && node.axis === 0 ? `operator ${opType} over axis 0` : undefined
}
