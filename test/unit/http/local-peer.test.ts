import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { isLocalPeer } from '../../../src/http/local-peer.ts'

function from(remoteAddress: string, ...rawHeaders: string[]): boolean {
  return isLocalPeer({ socket: { remoteAddress } as Socket, rawHeaders, httpVersion: '1.1' })
}

describe('isLocalPeer', () => {
  it('takes loopback peers that mean a loopback host', () => {
    for (const host of ['localhost', 'LOCALHOST:8080', '127.0.0.1:8080', '127.1.2.3', '[::1]:8080']) {
      for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) {
        assert.equal(from(address, 'Host', host), true, `${address} ${host}`)
      }
    }
  })

  it('refuses peers from elsewhere, whatever host they name', () => {
    for (const address of ['10.0.0.1', '::ffff:10.0.0.1', 'fe80::1', '1270.0.0.1', ''])
      assert.equal(from(address, 'Host', '127.0.0.1'), false, address)
  })

  it('refuses a name that was rebound to loopback, and a host that is missing or said twice', () => {
    for (const host of [
      'evil.example',
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      'a@127.0.0.1',
      '0.0.0.0',
      '',
    ])
      assert.equal(from('127.0.0.1', 'Host', host), false, host)
    assert.equal(from('127.0.0.1'), false)
    assert.equal(from('127.0.0.1', 'Host', 'localhost', 'host', 'localhost'), false)
  })

  it('refuses what a page of a browser or a proxy sends on behalf of others', () => {
    for (const name of [
      'Origin',
      'Forwarded',
      'Via',
      'X-Forwarded-For',
      'x-forwarded-host',
      'X-Forwarded-Proto',
      'X-Real-IP',
      'X-Envoy-External-Address',
      'CF-Connecting-IP',
      'True-Client-IP',
    ])
      assert.equal(from('127.0.0.1', 'Host', 'localhost', name, 'x'), false, name)
  })

  it('refuses what a page asks for without saying which, and takes what its user typed', () => {
    for (const site of ['cross-site', 'same-site', 'same-origin'])
      assert.equal(from('127.0.0.1', 'Host', 'localhost', 'Sec-Fetch-Site', site), false, site)
    assert.equal(from('127.0.0.1', 'Host', 'localhost', 'Sec-Fetch-Site', 'none'), true)
  })

  it('refuses HTTP/1.0, which a proxy speaks that says nothing else of itself', () => {
    const socket = { remoteAddress: '127.0.0.1' } as Socket
    assert.equal(isLocalPeer({ socket, rawHeaders: ['Host', '127.0.0.1:8080'], httpVersion: '1.0' }), false)
  })
})
