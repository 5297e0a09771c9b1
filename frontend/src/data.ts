// The document of the page (benchmark/report/view/records.py has the same records with their meaning), and the
// details of samples, which a page of many samples loads when they are needed.

export type Verdict = "grounded" | "hallucinated" | "ignored";
export type Interval = [number, number];
export interface Estimate {
  value: number | null;
  ci: Interval | null;
  n?: number | null;
  reason?: string | null;
  higher_is_better?: boolean | null;
}
export interface Numbered { key: string; label: string; estimate: Estimate; share: boolean }
export interface Fact { label: string; value: string }
export interface Beside { name: string; pictures: number; share: number; elsewhere: number | null }
export interface CategoryRow {
  name: string; named_there: number; named_absent: number; missed: number; beside: Beside[];
}
export interface RatePoint {
  start: number; end: number | null; alive: number; mentions: number; hallucinated: number;
  rate: number | null; rate_ci: Interval | null; prior: number | null;
}
export interface Fit {
  label: string; odds_ratio: number | null; ci: Interval | null; mentions: number; hallucinated: number;
  reason: string | null;
}
export interface Position {
  reason: string | null; curves: Record<string, RatePoint[]>; first: string | null; least: number;
  late_early: Fit | null; sentence: string; sensitivity: Fit[]; rivals: Fit[]; verdict: string;
}
export type LinePoint = [number, number | null, number | null, number | null, number];
export interface Line { label: string; points: LinePoint[] }
export interface Chart {
  title: string; sentence: string; x: string; y: string; logarithmic: boolean; lines: Line[]; notes: string[]; reason: string | null;
}
export interface Effect { label: string; estimate: Estimate; sentence: string }
export interface Confusion {
  split: string; category: string; right_yes: number; wrong_yes: number; right_no: number; wrong_no: number;
  unparsed: number;
}
export interface Probe { policy: string; confusion: Confusion[]; unparsed: number[] }
export interface Pair { judges: [string, string]; agreement: number | null }
export interface PartVotes {
  cells: number; yes_rate: number | null; pairwise_agreement: Pair[]; fleiss_kappa: number | null;
  ignored: number | null;
}
export interface Calibration extends PartVotes {
  voters: number; threshold: number;
  judges: Record<string, { yes_rate: number | null; yes_rate_by_format: (number | null)[] }>;
  yes_rate_by_format: (number | null)[]; formats?: string[] | null;
  by_position?: { reader: string; parts: PartVotes[] } | null;
}
export interface Index {
  sample_ids: string[]; generations: number[]; image_ids: string[]; excerpts: string[]; words: number[];
  states: string[]; splits: string[]; there: number[][]; absent: number[][]; missed: number[][];
}
export interface Mention {
  category: string; text: string; start: number; end: number; word: number; token?: number | null;
  verdict?: Verdict | null; votes?: Record<string, number> | null; match?: string; similarity?: number;
  weight?: number;
}
export interface Response {
  sample_id: string; image_id: string | number; response: string | null; generation: number;
  prompt?: string | null; reasoning?: string | null; finish_reason: string; completion_tokens?: number | null;
  error?: string | null;
}
/** A stretch of the response that the judge did not read, or read as another text. */
export interface Edit { start: number; end: number; text?: string; rule: string }
export interface Judgement {
  edits?: Edit[];
  mentions: Mention[]; unscored: string | null; votes?: Record<string, Record<string, number>> | null;
}
export type Box = [number, number, number, number];
export interface Detail {
  sample: { objects: string[]; areas?: Record<string, number>; references?: string[] } | null;
  response: Response;
  judgement: Judgement | null;
  question: { text: string; label: string; category: string; split: string } | null;
  answer: { truth: string; parsed: Record<string, string | null> } | null;
  boxes: Record<string, Box[]>;
  picture: string | null;
  /** For each mention that no truth decides, how likely it is wrong, from text alone. */
  risks?: (number | null)[];
}
export interface Run {
  name: string; task: string; status: string; sentence: string; numbers: Numbered[]; more_numbers: Numbered[];
  warnings: string[]; provenance: Fact[]; intervals: string | null; categories: string[];
  by_category: CategoryRow[]; no_categories: string | null; position: Position; charts: Chart[];
  effects: Effect[]; probe: Probe | null; calibration: Calibration | null; index: Index;
  no_samples: string | null; pages: string[]; details: Detail[];
}
/** Whether a truth says what is in the pictures: the page of `eidolon risk` has none, and so no counts of what is right. */
export function hasTruth(run: Run): boolean {
  return run.task !== "risk";
}
export interface Difference {
  key: string; share: boolean; a: number | null; b: number | null; estimate: Estimate; p: number | null;
  p_holm: number | null; outcome: string | null;
}
export interface Pairing {
  a: number; b: number; reason: string | null; differences: Difference[]; findings: string[]; notes: string[];
}
export interface View {
  schema: string; kind: "runs"; eidolon: string; early: number; late: number; page_size: number; runs: Run[]; pairs: Pairing[];
}

export const SCHEMA = "eidolon/view/1";

/** What every document says of itself. */
export interface Head { schema: string; kind: string; eidolon: string }

export function readDocument(): Head {
  const found = JSON.parse(document.getElementById("data")!.textContent!) as Head;
  if (found.schema !== SCHEMA) throw new Error(`the data has the schema ${found.schema}, this page reads ${SCHEMA}`);
  return found;
}

/** The value of a key that comes from data: names such as `constructor` are keys like all others. */
export function own<T>(record: Record<string, T> | null | undefined, key: string): T | undefined {
  return record && Object.hasOwn(record, key) ? record[key] : undefined;
}

declare global {
  interface Window {
    eidolonPage?: (run: number, page: number, json: string) => void;
  }
}

/** The details of the samples of all runs. */
export class Details {
  private loaded = new Map<string, Detail[]>();
  private waiting = new Map<string, Promise<Detail[]>>();

  constructor(private view: View) {
    window.eidolonPage = (run, page, json) => this.loaded.set(`${run}/${page}`, JSON.parse(json) as Detail[]);
  }

  /** The details of a sample if they are here already. */
  now(run: number, sample: number): Detail | undefined {
    const found = this.view.runs[run];
    if (!found?.pages.length) return found?.details[sample];
    const size = this.view.page_size;
    return this.loaded.get(`${run}/${Math.floor(sample / size)}`)?.[sample % size];
  }

  async get(run: number, sample: number): Promise<Detail> {
    const page = Math.floor(sample / this.view.page_size);
    if (this.view.runs[run]?.pages.length) await this.page(run, page);
    const found = this.now(run, sample);
    if (!found) throw new Error(`the page has no details of sample ${sample + 1}`);
    return found;
  }

  /** All details of a run, page by page; those already loaded come at once. */
  async *all(run: number): AsyncGenerator<[number, Detail[]]> {
    const found = this.view.runs[run]!;
    if (!found.pages.length) {
      yield [0, found.details];
      return;
    }
    for (let page = 0; page < found.pages.length; page++) {
      yield [page * this.view.page_size, await this.page(run, page)];
    }
  }

  private page(run: number, page: number): Promise<Detail[]> {
    const key = `${run}/${page}`;
    const here = this.loaded.get(key);
    if (here) return Promise.resolve(here);
    let promise = this.waiting.get(key);
    if (!promise) {
      promise = new Promise((resolve, reject) => {
        const path = this.view.runs[run]?.pages[page];
        if (path === undefined) return reject(new Error(`there is no page ${page + 1}`));
        const script = document.createElement("script");
        const fail = () => {
          this.waiting.delete(key);
          reject(new Error(`${path} could not be read; keep the folder beside the page`));
        };
        script.onload = () => {
          script.remove();
          const details = this.loaded.get(key);
          if (details) resolve(details);
          else fail();
        };
        script.onerror = fail;
        script.src = path;
        document.head.append(script);
      });
      this.waiting.set(key, promise);
    }
    return promise;
  }
}
