/** Fields of `artifact.fleetCache`. */
import { s3FolderProblem } from '../domain/s3-uri.ts'
import { bytes, checkedTextOrNull, decimal, milliseconds, oneOf, whole } from './fields.ts'

const MiB = 2 ** 20
const GiB = 2 ** 30

export const fleetCache = {
  place: checkedTextOrNull(
    'Folder for them, s3://bucket/prefix; null = nothing is shared. Who may write there is trusted with every model.',
    'the place of a folder in S3, s3://bucket/prefix',
    s3FolderProblem,
  ),
  mode: oneOf(
    ['readwrite', 'read'],
    'readwrite',
    'readwrite: what is compiled here is sent there; read: it only looks there before it compiles.',
  ),
  lookupMs: milliseconds(1500, 'Time to find out whether a model is there, before it is compiled here.', { min: 10 }),
  deadlineMs: milliseconds(3000, 'Time to fetch it, before deadlineMsPerMiB is added; then it is compiled here.', {
    min: 10,
  }),
  deadlineMsPerMiB: decimal(50, 'Milliseconds added for each MiB that is fetched.', { max: 60_000 }),
  maxArtifactBytes: bytes(16 * GiB, 'Largest compiled model that is fetched or sent.', { min: MiB }),
  parallel: whole(8, 'Objects fetched at the same time, and as many sent.', { min: 1, max: 64 }),
  maxQueued: whole(1000, 'Compiled models that wait to be sent; what comes beyond is dropped and counted.', {
    min: 1,
    max: 100_000,
  }),
  retryMs: milliseconds(30_000, 'How long the place is left alone after it did not answer three times.', {
    min: 100,
  }),
}
