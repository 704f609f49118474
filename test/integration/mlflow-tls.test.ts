/** The MLflow client over TLS: whom it believes, and how it shows who it is. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import type { Server } from 'node:https'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { TLSSocket } from 'node:tls'
import type { HttpTls } from '../../src/domain/http-identity.ts'
import { fails, MlflowRig } from '../support/mlflow-rig.ts'

function opensslProblem(): string | false {
  try {
    execFileSync('openssl', ['version'])
    return false
  } catch {
    return process.env.CI === 'true' ? false : 'no openssl, which makes the certificates'
  }
}

/** A certificate that signs itself, and its key. */
async function certificate(dir: string, name: string): Promise<string> {
  const [key, cert] = [join(dir, `${name}.key`), join(dir, `${name}.crt`)]
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  const names = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  execFileSync('openssl', [...request, ...names, '-keyout', key, '-out', cert], { stdio: 'ignore' })
  return `${await readFile(cert, 'utf8')}\n${await readFile(key, 'utf8')}`
}

describe('the MLflow client over TLS', { skip: opensslProblem() }, () => {
  const rig = new MlflowRig()
  let dir: string
  let server: Server
  let own: string
  let client: string
  /** Of the last request. */
  let peer: string | undefined

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'modelmux-tls-'))
    own = await certificate(dir, 'server')
    client = await certificate(dir, 'client')
    const options = { cert: own, key: own, ca: client, requestCert: true, rejectUnauthorized: false }
    server = createServer(options, ({ socket }, response) => {
      const isKnown = socket instanceof TLSSocket && socket.authorized
      const name = isKnown ? socket.getPeerCertificate().subject.CN : undefined
      peer = Array.isArray(name) ? name[0] : name
      response.end('{"registered_model": {"name": "m"}}')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  after(async () => {
    await rig.close()
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
    await rm(dir, { recursive: true, force: true })
  })

  function model(tls?: HttpTls) {
    const { port } = server.address() as AddressInfo
    return rig.connect(`https://localhost:${port}`, { tls, limits: { maxTries: 1 } }).mlflow.model('m')
  }

  it('believes no certificate that nobody vouches for, unless it is told to', async () => {
    await fails(model(), 'unavailable', /DEPTH_ZERO_SELF_SIGNED_CERT/)
    await fails(model({ isInsecure: false, authorities: client }), 'unavailable')
    assert.equal((await model({ isInsecure: true })).name, 'm')
  })

  it('believes the authorities that it is given, and shows its own certificate', async () => {
    await model({ isInsecure: false, authorities: own })
    assert.equal(peer, undefined)
    await model({ isInsecure: false, authorities: own, clientCertificate: client })
    assert.equal(peer, 'client')
  })
})
