/** A look at a graph that another machine wrote, in a compiler child: is it what its manifest says, and does it keep to its own files? */
import type { Manifest } from '../domain/artifact.ts'
import { GatewayError } from '../domain/errors.ts'
import type { Signature } from '../domain/tensor-types.ts'
import type { CompilerPool } from './compiler-pool.ts'
import type { ExamineCall, ExamineReply } from './compiler-protocol.ts'
import { COMPILER_CALLS } from './compiler-protocol.ts'
import { FleetTrouble } from './fleet-place.ts'
import { blobPath } from './layout.ts'
import type { ArtifactOptions } from './options.ts'

/** The graph and its blobs lie in the cache folder. @throws FleetTrouble `wrong`; whatever else stopped the look */
export async function checkFleetGraph(
  pool: CompilerPool,
  cache: string,
  { maxNodes, extraDomains }: ArtifactOptions,
  { file, blobs, signature }: Manifest,
): Promise<void> {
  const call: ExamineCall = {
    dir: cache,
    modelFile: file,
    limits: { maxNodes, extraDomains },
    allowHardLinks: false,
    allowOrt: false,
    signatureOnly: true,
  }
  // Not among compiles: one that waits until nobody fetches would wait for this, and this for it.
  const looked = await pool
    .digest(0, (turn) => turn.call<ExamineReply>(COMPILER_CALLS.examine, call))
    .catch((error: unknown) => {
      if (!(error instanceof GatewayError) || error.code !== 'ARTIFACT_INVALID') throw error
      throw new FleetTrouble('wrong', `its graph is refused: ${error.message}`)
    })
  const [, ...named] = looked.files
  const own = new Set(blobs.map(({ digest }) => blobPath(digest)))
  if (named.length !== own.size || named.some((path) => !own.has(path)))
    throw new FleetTrouble('wrong', 'its graph names other files than its manifest')
  if (looked.signature === undefined || namesOf(looked.signature) !== namesOf(signature))
    throw new FleetTrouble('wrong', 'its graph has other inputs or outputs than its manifest')
}

/** Without shapes, of which the engine infers what the graph leaves open. */
function namesOf({ inputs, outputs }: Signature): string {
  return JSON.stringify([inputs, outputs].map((specs) => specs.map(({ name, datatype }) => [name, datatype])))
}
