// The text of statements. It lives in a shadow tree: CodeMirror then takes its styles as sheets of the tree, and the page
// needs no rule that lets inline styles in.

import { autocompletion, closeBrackets, closeBracketsKeymap, closeCompletion, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab, isolateHistory, toggleComment } from '@codemirror/commands';
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { highlightSelectionMatches, search, searchKeymap } from '@codemirror/search';
import { Compartment, EditorState, Prec, StateEffect, StateField, type Extension } from '@codemirror/state';
import {
  Decoration, drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers, placeholder, WidgetType, type DecorationSet,
} from '@codemirror/view';
import { tags } from '@lezer/highlight';

import { changed, moved, type Change } from './format';

/** A mark at what is wrong. */
export interface Mark {
  readonly place: number;
  readonly message: string;
  readonly hint: string | undefined;
}

export interface EditorEvents {
  change(text: string): void;
  /** The statement at the cursor, or what is selected. */
  run(): void;
  runAll(): void;
  explain(): void;
  /** The text is to be laid out. */
  format(): void;
}

const mark = StateEffect.define<Mark | null>();

class Message extends WidgetType {
  constructor(private readonly text: string) {
    super();
  }
  override eq(other: Message): boolean {
    return other.text === this.text;
  }
  override toDOM(): HTMLElement {
    const line = document.createElement('div');
    line.className = 'wr-message';
    line.setAttribute('role', 'status');
    line.textContent = this.text;
    return line;
  }
}

/** The mark goes with the first change of the text: what was wrong may be so no more. */
const marks = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(shown, transaction) {
    for (const effect of transaction.effects) {
      if (!effect.is(mark)) continue;
      if (effect.value === null) return Decoration.none;
      const { doc } = transaction.state;
      const place = Math.min(effect.value.place, doc.length);
      const line = doc.lineAt(place);
      const word = /^[\p{L}\p{N}_$]+|^\S/u.exec(doc.sliceString(place, line.to))?.[0].length ?? 0;
      // At the end of the text there is no character to underline, so the one before is.
      const from = word === 0 ? Math.max(line.from, place - 1) : place;
      const to = word === 0 ? place : place + word;
      const { message, hint } = effect.value;
      const below = Decoration.widget({ widget: new Message(hint ? `${message} — ${hint}` : message), block: true, side: 1 });
      const ranges = [below.range(line.to)];
      if (to > from) ranges.unshift(Decoration.mark({ class: 'wr-wrong' }).range(from, to));
      return Decoration.set(ranges, true);
    }
    return transaction.docChanged ? Decoration.none : shown;
  },
  provide: (field) => EditorView.decorations.from(field),
});

const look = EditorView.theme({
  '&': { height: '100%', fontSize: '13px', color: 'var(--text)', backgroundColor: 'var(--ground)' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.55' },
  '.cm-content': { padding: '8px 0', caretColor: 'var(--accent)' },
  '.cm-line': { padding: '0 12px 0 6px' },
  '.cm-cursor': { borderLeftColor: 'var(--accent)', borderLeftWidth: '2px' },
  '.cm-gutters': { backgroundColor: 'var(--ground)', color: 'var(--faint)', border: 'none', paddingLeft: '6px' },
  '.cm-activeLine': { backgroundColor: 'var(--hover)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'var(--picked)' },
  '.cm-selectionMatch': { backgroundColor: 'var(--hover)' },
  '.cm-placeholder': { color: 'var(--muted)' },
  '.cm-matchingBracket, &.cm-focused .cm-matchingBracket': { backgroundColor: 'var(--picked)', outline: 'none' },
  '.cm-tooltip': { border: '1px solid var(--line)', backgroundColor: 'var(--raised)', color: 'var(--text)', borderRadius: '6px', boxShadow: 'var(--shadow)', overflow: 'hidden' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)', fontSize: '12px', maxHeight: '16em' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li': { padding: '2px 8px' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': { backgroundColor: 'var(--picked)', color: 'var(--text)' },
  '.cm-completionDetail': { color: 'var(--muted)', fontStyle: 'normal', marginLeft: '1em' },
  '.cm-completionInfo': { fontFamily: 'var(--sans)', fontSize: '12px', maxWidth: '24em', padding: '6px 10px' },
  '.cm-completionIcon': { color: 'var(--faint)', width: '1.2em' },
  '.cm-panels': { backgroundColor: 'var(--panel)', color: 'var(--text)', borderColor: 'var(--line)' },
  '.cm-panel input, .cm-panel button': { backgroundColor: 'var(--ground)', backgroundImage: 'none', color: 'var(--text)', border: '1px solid var(--line)', borderRadius: '4px' },
  '.wr-wrong': { textDecoration: 'underline wavy var(--bad)', textUnderlineOffset: '3px', textDecorationSkipInk: 'none' },
  '.wr-message': { color: 'var(--bad)', fontFamily: 'var(--sans)', fontSize: '12px', padding: '1px 12px 3px 6px', whiteSpace: 'pre-wrap' },
});

const highlighting = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword], color: 'var(--sql-word)', fontWeight: '600' },
  { tag: [tags.typeName, tags.standard(tags.name)], color: 'var(--sql-type)' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--sql-text)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--sql-number)' },
  { tag: tags.comment, color: 'var(--muted)', fontStyle: 'italic' },
]);

/** An editor in an element. */
export class Editor {
  private readonly view: EditorView;
  private readonly languages = new Compartment();

  constructor(host: HTMLElement, text: string, events: EditorEvents) {
    const root = host.shadowRoot ?? host.attachShadow({ mode: 'open', delegatesFocus: true });
    const act = (run: () => void) => (view: EditorView) => {
      closeCompletion(view);
      run();
      return true;
    };
    const keys = Prec.highest(
      keymap.of([
        { key: 'Mod-Enter', run: act(events.run) },
        { key: 'Mod-Shift-Enter', run: act(events.runAll) },
        { key: 'Mod-e', run: act(events.explain) },
        { key: 'Shift-Alt-f', run: act(events.format) },
        { key: 'Mod-/', run: toggleComment },
      ]),
    );
    const extensions: Extension = [
      keys,
      lineNumbers(),
      history(),
      drawSelection(),
      EditorState.allowMultipleSelections.of(true),
      indentOnInput(),
      bracketMatching(),
      closeBrackets(),
      autocompletion({ icons: false, maxRenderedOptions: 60 }),
      highlightActiveLine(),
      highlightSelectionMatches(),
      search({ top: true }),
      // Escape leaves the field before Tab indents in it, so that the keyboard is not caught.
      keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...completionKeymap, indentWithTab]),
      syntaxHighlighting(highlighting),
      marks,
      look,
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ 'aria-label': 'SQL', spellcheck: 'false' }),
      placeholder('SELECT …   Ctrl+Enter runs the statement at the cursor'),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) events.change(update.state.doc.toString());
      }),
      this.languages.of([]),
    ];
    this.view = new EditorView({ root, parent: root, state: EditorState.create({ doc: text, extensions }) });
  }

  get text(): string {
    return this.view.state.doc.toString();
  }

  /** What is selected; an empty range is the cursor. */
  get selection(): { from: number; to: number } {
    const { from, to } = this.view.state.selection.main;
    return { from, to };
  }

  /** Takes another text, as when another tab is shown. */
  replace(text: string): void {
    if (text === this.text) return;
    this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text }, selection: { anchor: text.length } });
  }

  /** Changes pieces of the text in one step, which can be undone; the cursor stays among the same characters. */
  change(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    const before = this.text;
    const anchor = moved(before, changed(before, changes), this.view.state.selection.main.head);
    this.view.dispatch({ changes: [...changes], selection: { anchor }, scrollIntoView: true, annotations: isolateHistory.of('full') });
  }

  /** Puts a text where the cursor is. */
  insert(text: string): void {
    this.view.dispatch(this.view.state.replaceSelection(text));
    this.view.focus();
  }

  mark(wrong: Mark | null): void {
    this.view.dispatch({ effects: mark.of(wrong) });
  }

  speak(language: Extension): void {
    this.view.dispatch({ effects: this.languages.reconfigure(language) });
  }

  focus(): void {
    this.view.focus();
  }

  destroy(): void {
    this.view.destroy();
  }
}
