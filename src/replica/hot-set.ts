/** What a successor opens before it takes over: the models that the next requests are likely to be for. */

export interface OpenModel {
  readonly key: string
  readonly runs: number
  readonly openForMs: number
}

/** One run of a model that was opened a moment ago says little of how hot it is. */
const MIN_AGE_MS = 10_000

/** The `max` models with the most runs a second since they were opened, hottest first; those that never ran are left out. */
export function chooseHotSet(models: readonly OpenModel[], max: number): readonly string[] {
  const rate = ({ runs, openForMs }: OpenModel) => runs / Math.max(openForMs, MIN_AGE_MS)
  return models
    .filter(({ runs }) => runs > 0)
    .toSorted((a, b) => rate(b) - rate(a))
    .slice(0, max)
    .map(({ key }) => key)
}
