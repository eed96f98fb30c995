// Types: what the modules of the page share. Only the type checker reads this file; `./types.js` in an @import means it.

export type Metadata = {
  type?: string; priority?: string; requiresAck?: boolean; requiresResponse?: boolean; inReplyTo?: string;
  threadId?: string; taskId?: string; data?: unknown;
};
export type Attachment = { name: string; size: number; type: string; sha256: string };
export type Message = {
  id: string; from: string; to: string; message: string; status: string; seq: number; createdAt: number;
  offeredAt?: number; offeredVia?: string; deliveredAt?: number; deliveredVia?: string; wokenBy?: string;
  readAt?: number; expiresAt?: number; failure?: { code: string; message: string }; originalTo?: string;
  charsRemoved?: number; audience?: { to: string[]; size: number }; attachments?: Attachment[]; metadata?: Metadata;
};
/** A row of a list: one message, however many receivers it has. `counts` is status → number of receivers. */
export type Row = { lsn: number; message: Message; receivers?: string[]; counts?: Record<string, number>; isNew?: boolean };

/** As `GET /api/sessions` shows it. */
export type Session = {
  id: string; role: string; projectId: string; status: string; startedAt: number; lastActivity: number;
  name?: string | null; parentSessionId?: string | null; completedAt?: number | null; agent?: string; pid?: number;
  cwd?: string; wake?: string; needsInput?: { active: boolean; message?: string; since?: number };
  metadata?: Record<string, unknown>;
};
/** As `GET /api/presence` shows it. */
export type Presence = {
  state: string; since?: number; by?: string; detail?: string; unread?: number; oldestAt?: number;
  wake?: { state: string; by?: string; at?: number; reason?: string };
};
/** `presence` is what is known; `shown` is what the page draws: the same, but working and idle only after 2 s. */
export type SessionEntry = { session: Session; presence: Presence; shown: Presence };
export type Group = {
  name: string; projectId: string; creator: string; creatorName?: string | null; createdAt: number; changedAt: number;
  size: number; active: number;
  members?: { session: string; name?: string | null; role?: string; joinedAt: number; active: boolean }[];
};
/** Who waits for the person at the page. `message` is there for a request by mail. */
export type Wait = { kind: "permission" | "question" | "mail"; session: string; since: number; detail: string; message?: Message };

/** The address in parts: `view` is a name in the table of `views.js`; `params` are the parts of the path behind it. */
export type Route = { view: string; params: string[]; query: Record<string, string>; path: string };
/** `gap`: events were lost for good, and the lists were read again. */
export type Link = {
  state: "live" | "connecting" | "lost"; since: number; retryAt: number; reason: "gateway" | "broker" | ""; gap: boolean;
};
export type Draft = {
  to: string[]; text: string; type: string; priority: string; requiresAck: boolean; replyTo: Message | null;
  attachments: Attachment[];
};
export type Access = { rights: "full" | "view" | ""; login: boolean; version: string; dataDir: string; user: string };

export type State = {
  route: Route;
  /** The time at the last full minute (at first, of the start), ms: ages are `now - since`, so that all change together.
   * While the page is not connected it stays. */
  now: number;
  link: Link; access: Access; rights: "full" | "view" | "";
  sessions: Map<string, SessionEntry>; groups: Map<string, Group>;
  /** The names of all sessions that an answer named, also of those that have ended. */
  people: Map<string, { name?: string; role: string }>;
  waits: Wait[]; inboxUnread: number;
  /** The project that the page shows; empty: all. */
  project: string;
  keysOn: boolean; keysShown: boolean;
  /** The message in the detail pane. */
  pane: string | null;
  compose: Draft | null;
  /** How many things need the person. */
  health: number;
  /** The most undelivered messages of a mailbox; 0 while it is not known. */
  mailboxMax: number;
  /** Something was sent at any time. */
  anyMail: boolean;
  ready: boolean; needsLogin: boolean; refusal: string;
  /** Is said to screen readers. */
  notice: string;
};

/** A request that was refused, or got no answer (`status` 0). */
export type ApiError = Error & {
  status: number; code: string; hint: string; details: Record<string, any>; retryAfter: number;
};
export type Query = Record<string, string | number | boolean | undefined | null>;
export type Api = {
  get(path: string, query?: Query): Promise<any>;
  /** The entries of all pages (by `Link`). `name`: the field that holds them; "" if the answer is a list. */
  all(path: string, name: string, query?: Query): Promise<any[]>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<any>;
  put(path: string, body: BodyInit | object, headers?: Record<string, string>): Promise<any>;
  patch(path: string, body: unknown): Promise<any>;
  del(path: string): Promise<any>;
  blob(path: string): Promise<Blob>;
};

/** `message` {lsn, id, message, to, from}: a receiver has a new message; one to several comes once for each. `receipt`
 * {lsn, id, to, from, status, message}: a delivery changed; `message` is the whole of it, if known. `session`,
 * `presence` {id} and `group` {name}: the entry in the state has changed already. `reset` {}: read the list again.
 * `link` {}: the connection changed. An event may come before the answer to an earlier request, and its message may be
 * in that answer too: a list applies both by the message's id. After a break the missed events come as others do. */
export type EventName = "message" | "receipt" | "session" | "presence" | "group" | "reset" | "link";
export type EventDetail = {
  lsn?: number; message?: Message; to?: string; from?: string; id?: string; status?: string; name?: string;
};

export type App = {
  state: State;
  api: Api;
  /** Draws once, in the next frame. */
  update(): void;
  /** Goes to a path such as `/ui/inbox`. */
  go(path: string, replace?: boolean): void;
  /** Returns a function that ends it. */
  on(name: EventName, fn: (detail: EventDetail) => void): () => void;
  emit(name: EventName, detail: EventDetail): void;
  /** Opens the composer. */
  compose(start?: { to?: string[]; replyTo?: Message | null }): void;
  /** Beside the list where there is room, else as a page. */
  openMessage(id: string): void;
  /** `you` for the operator. */
  nameOf(id: string): string;
};

/** `render` gives the middle part: an element of class `scroll`, and bars above or below it. `header` gives what stands
 * behind the title; what has the class `actions` stands at its end. `enter` may return a promise: the page is ready
 * (`data-ready` of <html>) when it ends. `keys` are single keys of this view; they come before the page's. A row that j
 * and k go to has `data-row` with the message's id, and `tabindex`. */
export type View = {
  title(app: App): string;
  enter(app: App, route: Route): void | Promise<void>;
  leave(app: App): void;
  header?(app: App): unknown;
  render(app: App): unknown;
  keys?: Record<string, (app: App) => void>;
};
