//! Functions of single floats without branches and calls, so that loops over them become vector code: to be inlined
//! into what is compiled for an instruction set. The same bits on each of them, since nothing is fused.

use std::f32::consts::LOG2_E;

/// ln 2, its first nine bits: products with small integers are exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
/// ln 2 without them.
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Added to a small number it leaves the nearest integer in the last bits.
const ROUND: f32 = 12_582_912.0;

/// `n` and `p` with `eˣ = 2ⁿ · (1 + p)`, for `x` from -104 to 90.
#[inline(always)]
fn split(x: f32) -> (i32, f32) {
    let rounded = x * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let q = r * 1.987_569_1e-4 + 1.398_199_9e-3;
    let q = ((q * r + 8.333_452e-3) * r + 4.166_579_6e-2) * r + 1.666_666_5e-1;
    let q = q * r + 0.5;
    ((rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32), q * (r * r) + r)
}

/// `2ⁿ` for -126 ≤ n ≤ 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `low` or `high` where `x` is beyond it; a NaN stays one.
#[inline(always)]
pub(super) fn clip(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// `eˣ`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let (n, p) = split(clip(x, -104.5, 89.5));
    // In two steps, since the powers below 2⁻¹²⁶ and that of 128 are no normal floats.
    let half = n >> 1;
    (1.0 + p) * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// `eˣ - 1` for `x` up to zero.
#[inline(always)]
pub(super) fn exp_minus_one(x: f32) -> f32 {
    let (n, p) = split(if x < -80.0 { -80.0 } else { x });
    let scale = power_of_two(n);
    scale * p + (scale - 1.0)
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let z = x * x;
    let q = (z * -5.704_988_7e-3 + 2.063_909e-2) * z - 5.373_971_6e-2;
    let near = ((q * z + 1.333_144_2e-1) * z - 3.333_328e-1) * z * x + x;
    let far = 1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0);
    if x.abs() < 0.625 { near } else { far.copysign(x) }
}

/// `ln(1 + eˣ)`.
#[inline(always)]
pub(super) fn softplus(x: f32) -> f32 {
    // ln(1 + e) = 2 · artanh(e / (2 + e)), of at most a third.
    let e = exp(-x.abs());
    let s = e / (2.0 + e);
    let z = s * s;
    let q = ((z / 15.0 + 1.0 / 13.0) * z + 1.0 / 11.0) * z + 1.0 / 9.0;
    let q = ((q * z + 1.0 / 7.0) * z + 1.0 / 5.0) * z + 1.0 / 3.0;
    // In this order a NaN stays one.
    (if x < 0.0 { 0.0 } else { x }) + (2.0 * s + 2.0 * s * (q * z))
}

/// `x · tanh(softplus(x))`.
#[inline(always)]
pub(super) fn mish(x: f32) -> f32 {
    // tanh(ln(1 + e)) = ((1 + e)² - 1) / ((1 + e)² + 1), which is 1 from 20 on.
    let e = exp(if x > 20.0 { 20.0 } else { x });
    let n = e * (e + 2.0);
    x * (n / (n + 2.0))
}

/// The error function, by Juffa's polynomials.
#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    let (t, s) = (x.abs(), x * x);
    let far = {
        let high = -1.728_534_7e-5 * t + 3.831_972e-4;
        let low = -3.883_964_4e-3 * t + 2.425_462_2e-2;
        let r = (high * s + low) * t - 1.067_778_8e-1;
        let r = (r * t - 6.348_468_7e-1) * t - 1.287_175_1e-1;
        (1.0 - exp(r * t - t)).copysign(x)
    };
    let near = {
        let r = -5.967_617e-4 * s + 4.991_194_2e-3;
        let r = (r * s - 2.676_813_5e-2) * s + 1.128_199_25e-1;
        let r = (r * s - 3.761_253_4e-1) * s + 1.283_791_7e-1;
        r * x + x
    };
    if t > 0.927_734_4 { far } else { near }
}

/// `x · Φ(x)`, Φ being the normal distribution.
#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}
