import { useSignal } from '@preact/signals';

import { signIn, signInWanted } from '../api/http';
import { problemOf } from '../api/problem';
import { readCatalog } from '../catalog/catalog';
import { readDocuments } from '../dash/documents';
import { Dialog } from './parts';

/** Asks who this is: a name and password, or a token. */
export function SignIn() {
  const user = useSignal('');
  const password = useSignal('');
  const token = useSignal('');
  const problem = useSignal('');
  const submit = async (event: Event) => {
    event.preventDefault();
    try {
      await signIn(token.value.trim() === '' ? { user: user.value, password: password.value } : { token: token.value.trim() });
      signInWanted.value = false;
      await Promise.all([readCatalog(), readDocuments()]);
    } catch (error) {
      problem.value = problemOf(error).message;
    }
  };
  return (
    <Dialog title="Sign in" close={() => (signInWanted.value = false)}>
      <form onSubmit={(event) => void submit(event)}>
        <label class="field">Name<input autocomplete="username" value={user.value} onInput={(event) => (user.value = event.currentTarget.value)} /></label>
        <label class="field">Password<input type="password" autocomplete="current-password" value={password.value} onInput={(event) => (password.value = event.currentTarget.value)} /></label>
        <p class="or">or</p>
        <label class="field">Token<input type="password" autocomplete="off" value={token.value} onInput={(event) => (token.value = event.currentTarget.value)} /></label>
        {problem.value && <p class="note bad" role="alert">{problem.value}</p>}
        <div class="bar"><button class="strong" type="submit">Sign in</button></div>
        <p class="note">It is kept until this browser tab is closed.</p>
      </form>
    </Dialog>
  );
}
