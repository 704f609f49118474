/** MLflow's language of filters, as far as it is spoken here. It has two kinds of quotes, and no way to write one within its own kind. */

/** The filter for the versions of one model; undefined for a name that MLflow's filters have no words for. */
export function nameFilter(name: string): string | undefined {
  if (!name.includes("'")) return `name='${name}'`
  return name.includes('"') ? undefined : `name="${name}"`
}
