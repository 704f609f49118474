/** The fields of `store.mlflow`. */
import { artifactRuleProblem } from '../domain/artifact-place.ts'
import { aliasProblem } from '../domain/model-ref.ts'
import { workspaceProblem } from './field-problems.ts'
import { checkedTextOrNull, group, milliseconds, textList, whole } from './fields.ts'

export const mlflow = group("An MLflow registry; credentials and TLS come from MLflow's own environment variables.", {
  pollMs: milliseconds(
    30_000,
    'Pause between two looks at the whole registry, a call for each 1,000 models and each 2,000 versions.',
    { min: 500 },
  ),
  defaultAlias: checkedTextOrNull(
    'Alias whose version is served when a request names none; null, or a model without it = the latest version that is READY.',
    'an alias',
    aliasProblem,
    'champion',
  ),
  workspace: checkedTextOrNull(
    'Workspace of the registry; null = that of MLFLOW_WORKSPACE, or none.',
    'the name of a workspace',
    workspaceProblem,
  ),
  artifacts: textList(
    [],
    "Where artifacts may lie beside the server's own proxy: s3://bucket/prefix, file:///folder, and https://host for addresses that the server signs. What a registry says of other places is refused.",
    's3://bucket/prefix, file:///folder or https://host',
    artifactRuleProblem,
  ),
  maxIntraOpThreads: whole(4, 'Threads of one run that an MLmodel may ask for.', { min: 1, max: 256 }),
})
