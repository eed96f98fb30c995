// Types: what the modules of the page share. It has no code; the type checker reads the comments.
// @ts-check

/**
 * @typedef {{type?: string, priority?: string, requiresAck?: boolean, requiresResponse?: boolean, inReplyTo?: string,
 *   threadId?: string, taskId?: string, data?: unknown}} Metadata
 * @typedef {{name: string, size: number, type: string, sha256: string}} Attachment
 * @typedef {{id: string, from: string, to: string, message: string, status: string, seq: number, createdAt: number,
 *   offeredAt?: number, offeredVia?: string, deliveredAt?: number, deliveredVia?: string, wokenBy?: string,
 *   readAt?: number, expiresAt?: number, failure?: {code: string, message: string}, originalTo?: string,
 *   charsRemoved?: number, audience?: {to: string[], size: number}, attachments?: Attachment[],
 *   metadata?: Metadata}} Message
 */

/**
 * A row of a list: one message, however many receivers it has. `counts` is status → number of receivers.
 * @typedef {{lsn: number, message: Message, receivers?: string[], counts?: Record<string, number>,
 *   isNew?: boolean}} Row
 */

/**
 * A session as `GET /api/sessions` shows it, and its presence as `GET /api/presence` does.
 * @typedef {{id: string, role: string, projectId: string, status: string, startedAt: number, lastActivity: number,
 *   name?: string|null, parentSessionId?: string|null, completedAt?: number|null, agent?: string, pid?: number,
 *   cwd?: string, wake?: string, metadata?: Record<string, unknown>}} Session
 * @typedef {{state: string, since?: number, by?: string, detail?: string, unread?: number, oldestAt?: number,
 *   wake?: {state: string, by?: string, at?: number, reason?: string}}} Presence
 * `presence` is what is known; `shown` is what the page draws: the same, but working and idle only after 2 s.
 * @typedef {{session: Session, presence: Presence, shown: Presence}} SessionEntry
 * @typedef {{name: string, projectId: string, creator: string, creatorName?: string|null, createdAt: number,
 *   changedAt: number, size: number, active: number,
 *   members?: {session: string, name?: string|null, role?: string, joinedAt: number, active: boolean}[]}} Group
 */

/**
 * Who waits for the person at the page. `message` is there for a request by mail.
 * @typedef {{kind: 'permission'|'question'|'mail', session: string, since: number, detail: string,
 *   message?: Message}} Wait
 */

/**
 * The address in parts: `view` is a name in the table of `shell.js`; `params` are the parts of the path behind it.
 * @typedef {{view: string, params: string[], query: Record<string, string>, path: string}} Route
 * @typedef {{state: 'live'|'connecting'|'lost', since: number, retryAt: number, reason: 'gateway'|'broker'|'',
 *   gap: boolean}} Link
 * @typedef {{to: string[], text: string, type: string, priority: string, requiresAck: boolean,
 *   replyTo: Message|null, attachments: Attachment[]}} Draft
 * @typedef {{rights: 'full'|'view'|'', login: boolean, version: string, dataDir: string, user: string}} Access
 */

/**
 * `now` is the time at the last full minute (at first, of the start), ms: ages are `now - since`, so that all change
 * together. While the page is not connected it stays. `people` are the names of all sessions that an answer named, also
 * of those that have ended. `health`: how many things need the person. `anyMail`: something was sent at any time.
 * `notice` is said to screen readers.
 * @typedef {{route: Route, now: number, link: Link, access: Access, sessions: Map<string, SessionEntry>,
 *   groups: Map<string, Group>, people: Map<string, {name?: string, role: string}>, waits: Wait[], inboxUnread: number, project: string, rights: 'full'|'view'|'',
 *   keysOn: boolean, keysShown: boolean, pane: string|null, compose: Draft|null, health: number,
 *   mailboxMax: number, anyMail: boolean, ready: boolean, needsLogin: boolean,
 *   refusal: string, notice: string}} State
 */

/**
 * A request that was refused, or got no answer (`status` 0).
 * @typedef {Error & {status: number, code: string, hint: string, details: Record<string, any>,
 *   retryAfter: number}} ApiError
 * @typedef {Record<string, string|number|boolean|undefined|null>} Query
 * `all` gives the entries of all pages (by `Link`); `name` is the field that holds them, "" if the answer is a list.
 * @typedef {{get: (path: string, query?: Query) => Promise<any>,
 *   all: (path: string, name: string, query?: Query) => Promise<any[]>, post: (path: string, body: unknown,
 *   headers?: Record<string, string>) => Promise<any>, put: (path: string, body: BodyInit|object,
 *   headers?: Record<string, string>) => Promise<any>, patch: (path: string, body: unknown) => Promise<any>,
 *   del: (path: string) => Promise<any>, blob: (path: string) => Promise<Blob>}} Api
 */

/**
 * What the events carry. An event may come before the answer to a request that was sent earlier, and its message may be
 * in that answer too: a list applies both by the message's id. After a break the missed events come as others do. `message` {lsn, message, to}: one receiver has a new message; a message to several comes once
 * for each. `receipt` {lsn, id, to, from, status, message}: a delivery changed; `message` is the whole of it, if known.
 * `session` {id}, `presence` {id}, `group` {name}: the entry in the state has changed already. `reset` {}: read the
 * list anew. `link` {}: the connection changed.
 * @typedef {'message'|'receipt'|'session'|'presence'|'group'|'reset'|'link'} EventName
 * @typedef {{lsn?: number, message?: Message, to?: string, from?: string, id?: string, status?: string,
 *   name?: string}} EventDetail
 */

/**
 * @typedef {object} App
 * @property {State} state
 * @property {Api} api
 * @property {() => void} update Draws once, in the next frame.
 * @property {(path: string, replace?: boolean) => void} go Goes to a path such as `/ui/inbox`.
 * @property {(name: EventName, fn: (detail: EventDetail) => void) => () => void} on Returns a function that ends it.
 * @property {(name: EventName, detail: EventDetail) => void} emit
 * @property {(start?: {to?: string[], replyTo?: Message|null}) => void} compose Opens the composer.
 * @property {(id: string) => void} openMessage Beside the list where there is room, else as a page.
 * @property {(id: string) => string} nameOf `you` for the operator.
 */

/**
 * A view. `render` gives the middle part: an element of class `scroll`, and bars above or below it. `header` gives what
 * stands behind the title; what has the class `actions` stands at its end. `enter` may return a promise: the page is
 * ready (`data-ready` of <html>) when it ends. `keys` are single keys of this view; they come before the page's. A row
 * that j and k go to has `data-row` with the message's id, and `tabindex`.
 * @typedef {object} View
 * @property {(app: App) => string} title
 * @property {(app: App, route: Route) => void|Promise<void>} enter
 * @property {(app: App) => void} leave
 * @property {(app: App) => unknown} [header]
 * @property {(app: App) => unknown} render
 * @property {Record<string, (app: App) => void>} [keys]
 */

export {};
