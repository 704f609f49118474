/** Folders in the cache folder that are not the artifact room's. */

export const JOURNAL_FOLDER = 'journal'
/** Fetched files, and what registries knew. */
export const STAGING_FOLDER = 'staging'
export const REGISTRY_FOLDER = 'registry'
