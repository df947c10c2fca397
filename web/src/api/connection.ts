// The page's one connection for live queries.

import { bearer, signInWanted } from './http';
import { LiveConnection, type Socket } from './live';

let connection: LiveConnection | undefined;

/** The page's own connection. */
export function live(): LiveConnection {
  connection ??= new LiveConnection({
    connect() {
      const url = new URL('v1/live', location.href);
      url.protocol = url.protocol.replace('http', 'ws');
      url.hash = '';
      const token = bearer();
      // A page cannot set a header of a WebSocket: its token is among the protocols.
      return new WebSocket(url, token === null ? [] : ['weir', `weir.bearer.${token}`]) as unknown as Socket;
    },
    after: (ms, act) => void setTimeout(act, ms),
    refused: () => (signInWanted.value = true),
  });
  return connection;
}
