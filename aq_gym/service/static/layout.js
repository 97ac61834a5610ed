// Where marks and names stand on the map, so that none covers another. All in pixels of the drawing.

const ROUNDS = 80; // of pushing apart; a few dozen places in a heap need about 30

/** Spots moved apart until they are `least` from one another, or as far as a few rounds bring them; inside the frame. */
export function spread(spots, least, [width, height]) {
  const at = spots.map((spot) => [...spot]), edge = least / 2 + 2;
  for (let round = 0; round < ROUNDS; round++) {
    let calm = true;
    for (let i = 0; i < at.length; i++) {
      for (let j = 0; j < i; j++) {
        const [dx, dy] = [at[i][0] - at[j][0], at[i][1] - at[j][1]], gap = Math.hypot(dx, dy);
        if (gap >= least - 0.5) continue;
        calm = false;
        const angle = gap > 0.01 ? Math.atan2(dy, dx) : 2.4 * i; // on the same spot: each in a direction of its own
        const [x, y] = [(Math.cos(angle) * (least - gap)) / 2, (Math.sin(angle) * (least - gap)) / 2];
        at[i] = [at[i][0] + x, at[i][1] + y];
        at[j] = [at[j][0] - x, at[j][1] - y];
      }
    }
    for (const spot of at) {
      spot[0] = Math.min(Math.max(spot[0], edge), width - edge);
      spot[1] = Math.min(Math.max(spot[1], edge), height - edge);
    }
    if (calm) break;
  }
  return at;
}

/** How far two boxes are apart, each [middle, middle, half its width, half its height]; 0 where they touch. */
const apart = ([a, b, w, h], [c, d, v, g]) => Math.hypot(Math.max(0, Math.abs(a - c) - w - v), Math.max(0, Math.abs(b - d) - h - g));

/** Beside the mark `[left, top]`, where a box is farthest from all others; null where it would cover one. */
export function clearSpot([left, top], size, half, tall, taken, [width, height]) {
  const dx = size + half + 4, dy = size + tall + 4, slant = Math.max(half - size, 0);
  const steps = [[0, dy], [0, -dy], [dx, 0], [-dx, 0], [slant, dy], [-slant, dy], [slant, -dy], [-slant, -dy]];
  const boxes = steps.map(([a, b]) => [left + a, top + b, half, tall]);
  const inside = boxes.filter(([a, b]) => a > half + 2 && a < width - half - 2 && b > tall + 2 && b < height - tall - 26);
  const others = taken.filter(([a, b]) => a !== left || b !== top); // the mark itself is 4 from every box
  const room = (box) => Math.min(12, ...others.map((other) => apart(box, other)));
  const best = inside.reduce((one, other) => (one && room(one) >= room(other) ? one : other), null);
  return best && room(best) > 0 ? best : null;
}
