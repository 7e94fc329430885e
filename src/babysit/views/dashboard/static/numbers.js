// @ts-check
// Numbers in words, as in views/data/formatting.py.

export const MISSING = "–";

/**
 * Formats a number in at most four digits, with an exponent where it is far from one.
 * @param {number | null | undefined} value
 * @param {number} [digits]
 */
export function numberText(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e-2 && size < 1e5) return size < 1e4 ? plain(value, digits) : value.toFixed(0);
  return exponentText(value, digits);
}

/**
 * Formats a number always with its exponent.
 * @param {number} value
 * @param {number} [digits]
 */
export function exponentText(value, digits = 3) {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  return `${trimmed(mantissa)}e${Number(exponent)}`;
}

/** @param {number | null | undefined} share */
export function percentText(share) {
  return share === null || share === undefined || !Number.isFinite(share) ? MISSING : `${(100 * share).toFixed(1)} %`;
}

/** @param {number} value @param {number} digits */
function plain(value, digits) {
  const text = value.toPrecision(digits);
  return text.includes("e") ? String(Number(text)) : trimmed(text);
}

/** @param {string} text */
function trimmed(text) {
  return text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
}
