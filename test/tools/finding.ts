/** What one broken rule looks like, whoever found it. */
export interface Finding {
  /** Name of the rule, as `prove-checks.ts` expects it. */
  readonly rule: string
  /** Path relative to the checked folder, with `:line` where one is known. */
  readonly where: string
  readonly what: string
}

/** What a checker saw. `files` is there because a checker that reads nothing finds nothing. */
export interface Findings {
  readonly files: number
  readonly findings: readonly Finding[]
}
