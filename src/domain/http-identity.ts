/** How this side shows to an HTTP service who it is, and whom it believes in return. Never shown, never logged. */

export type HttpCredentials =
  | { readonly kind: 'basic'; readonly user: string; readonly password: string }
  | { readonly kind: 'bearer'; readonly token: string }

export interface HttpTls {
  /** Any certificate is taken. */
  readonly isInsecure: boolean
  /** PEM of the authorities to believe instead of the usual ones. */
  readonly authorities?: string
  /** PEM of a certificate and its key. */
  readonly clientCertificate?: string
}
