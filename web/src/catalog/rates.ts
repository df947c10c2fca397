// How fast topics grow, from the ends of their partitions at different times.

export interface End {
  topic: string;
  partition: number;
  start_offset: number;
  end_offset: number;
  bytes: number;
}

interface Look {
  readonly at: number;
  readonly ends: ReadonlyMap<string, number>;
}

/** The span that a rate is taken over. */
const SPAN_MS = 15_000;

/** Looks at the ends of topics, the latest of which say how fast they grow. */
export class Rates {
  private looks: Look[] = [];

  add(ends: readonly End[], at: number): void {
    this.looks.push({ at, ends: new Map(ends.map((end) => [`${end.topic} ${end.partition}`, end.end_offset])) });
    this.looks = this.looks.filter((look) => at - look.at <= SPAN_MS);
  }

  /** Records a second of a topic, or of one partition of it; null before there are two looks. */
  of(topic: string, partition?: number): number | null {
    const first = this.looks[0];
    const last = this.looks.at(-1);
    if (!first || !last || first === last) return null;
    let came = 0;
    for (const [key, end] of last.ends) {
      const space = key.lastIndexOf(' ');
      if (key.slice(0, space) !== topic) continue;
      if (partition !== undefined && Number(key.slice(space + 1)) !== partition) continue;
      came += end - (first.ends.get(key) ?? end);
    }
    return (came * 1000) / (last.at - first.at);
  }
}

/** `123/s`. */
export function rateText(rate: number | null): string {
  if (rate === null) return '–';
  return `${rate >= 10 || rate === 0 ? Math.round(rate).toLocaleString('en') : rate.toFixed(1)}/s`;
}
