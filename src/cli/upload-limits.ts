const CONNECT_MS = 10_000
/** A part of 16 MiB must be through by then, also where the line is slow. */
const ANSWER_MS = 300_000

/** Of an S3 client that uploads. */
export const UPLOAD_LIMITS = {
  attempts: 5,
  connectTimeoutMs: CONNECT_MS,
  answerTimeoutMs: ANSWER_MS,
  maxConnections: 16,
}
