//! Every operation of the vector trait on every instruction set of this machine.

use std::mem::MaybeUninit;

use conv_simd::{Isa, Simd, SimdOp, lane_numbers};

struct EveryOperation;

impl SimdOp for EveryOperation {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let a: Vec<f32> = (0..S::LANES).map(|i| i as f32 + 1.0).collect();
        let b: Vec<f32> = (0..S::LANES).map(|i| 2.5 - i as f32).collect();
        let (va, vb, vc) = (simd.load(&a), simd.load(&b), simd.splat(3.0));
        let expect = |vector: S::Vec, lane: fn(f32, f32) -> f32| {
            let mut out = vec![0.0; S::LANES];
            simd.store(&mut out, vector);
            let expected: Vec<f32> = a.iter().zip(&b).map(|(&a, &b)| lane(a, b)).collect();
            assert_eq!(out, expected);
        };
        expect(simd.add(va, vb), |a, b| a + b);
        expect(simd.sub(va, vb), |a, b| a - b);
        expect(simd.mul(va, vb), |a, b| a * b);
        expect(simd.div(va, vb), |a, b| a / b);
        expect(simd.mul_add(va, vb, vc), |a, b| a * b + 3.0);
        expect(simd.neg_mul_add(va, vb, vc), |a, b| 3.0 - a * b);
        expect(simd.max(va, vb), f32::max);
        expect(simd.min(va, vb), f32::min);
        expect(simd.sqrt(va), |a, _| a.sqrt());
        expect(simd.zero(), |_, _| 0.0);
        for magnitude in [1e-36_f32, 0.7, 2.0, 3.0, 1e4, f32::MAX] {
            let mut out = vec![0.0; S::LANES];
            simd.store(&mut out, simd.rsqrt_estimate(simd.div(simd.splat(magnitude), va)));
            for (got, lane) in out.iter().zip(&a) {
                let exact = 1.0 / f64::from(magnitude / lane).sqrt();
                let error = (f64::from(*got) / exact - 1.0).abs();
                assert!(error <= 1.5 * 2_f64.powi(-12), "1 / sqrt({magnitude} / {lane}): {error}");
            }
        }
        let line: Vec<f32> = [&a[..], &b[..]].concat();
        let mut out = vec![0.0; S::LANES];
        simd.store(&mut out, simd.one_before(va, vb));
        assert_eq!(out, line[S::LANES - 1..2 * S::LANES - 1], "one before");
        simd.store(&mut out, simd.two_behind(va, vb));
        assert_eq!(out, line[2..S::LANES + 2], "two behind");
        let from = |lane| (5 * lane + 3) % S::LANES;
        let lanes: Vec<f32> = lane_numbers((0..S::LANES).map(from)).collect();
        simd.store(&mut out, simd.permute(va, simd.load(&lanes)));
        assert_eq!(out, (0..S::LANES).map(|lane| a[from(lane)]).collect::<Vec<_>>(), "permuted");
        let mut repeat = |repeated: S::Vec, count: usize| {
            simd.store(&mut out, repeated);
            assert_eq!(out, (0..S::LANES).map(|lane| line[1 + lane % count]).collect::<Vec<_>>(), "{count} repeated");
        };
        // SAFETY: the line has two vectors.
        unsafe {
            let from = line.as_ptr().add(1);
            repeat(simd.load_repeated_ptr::<1>(from), 1);
            repeat(simd.load_repeated_ptr::<2>(from), 2);
            repeat(simd.load_repeated_ptr::<4>(from), 4);
            if S::LANES == 16 {
                repeat(simd.load_repeated_ptr::<8>(from), 8);
            }
        }
        for count in 0..=S::LANES {
            let mut out = vec![-1.0; S::LANES];
            simd.store_partial(&mut out[..count], simd.load_partial(&a[..count]));
            let kept = |i| if i < count { a[i] } else { -1.0 };
            assert_eq!(out, (0..S::LANES).map(kept).collect::<Vec<_>>(), "first {count}");
            simd.store(&mut out, simd.load_partial(&a[..count]));
            assert!(out[count..].iter().all(|&x| x == 0.0), "the rest of a partial load is zero");
        }
        for (skip, stream) in [(0, false), (0, true), (1, true)] {
            let mut to = [MaybeUninit::new(-1.0); 64];
            let from: Vec<f32> = (0..45).map(|i| i as f32).collect();
            // SAFETY: no other thread reads it.
            unsafe { simd.write(&mut to[skip..][..45], &from, stream) };
            // SAFETY: it was never without a value.
            let written = to.map(|float| unsafe { float.assume_init() });
            let expected = |i: usize| i.checked_sub(skip).and_then(|i| from.get(i)).copied().unwrap_or(-1.0);
            assert_eq!(written, std::array::from_fn(expected), "{skip} {stream}");
        }
        let nan = simd.splat(f32::NAN);
        for nan_second in [simd.max(va, nan), simd.min(va, nan)] {
            simd.store(&mut out, nan_second);
            assert!(out.iter().all(|x| x.is_nan()), "max and min give the second operand where either is NaN");
        }
        for number_second in [simd.max(nan, va), simd.min(nan, va)] {
            simd.store(&mut out, number_second);
            assert_eq!(out, a, "max and min give the second operand where either is NaN");
        }
        expect(simd.max_or_nan(va, vb), f32::max);
        for none in [simd.max_or_nan(va, nan), simd.max_or_nan(nan, va), simd.max_or_nan(nan, nan)] {
            simd.store(&mut out, none);
            assert!(out.iter().all(|x| x.is_nan()), "{out:?}");
        }
        // Of single lanes, with infinities beside them.
        let mixed = |shift: usize| -> Vec<f32> {
            let all = [f32::NAN, f32::NEG_INFINITY, 1.0, f32::INFINITY, -2.0];
            (0..S::LANES).map(|lane| all[(lane * shift + lane / 5) % 5]).collect()
        };
        let (one, other) = (mixed(1), mixed(2));
        simd.store(&mut out, simd.max_or_nan(simd.load(&one), simd.load(&other)));
        for ((&a, &b), &got) in one.iter().zip(&other).zip(&out) {
            let right = if a.is_nan() || b.is_nan() { got.is_nan() } else { got == a.max(b) };
            assert!(right, "the larger of {a} and {b} is {got}");
        }
    }
}

#[test]
fn operations_agree_with_scalars() {
    for isa in Isa::available() {
        isa.run(EveryOperation);
    }
}

#[test]
fn names_are_found_and_others_refused() {
    for isa in Isa::available() {
        assert_eq!(Isa::by_name(isa.name()), Ok(isa));
    }
    assert_eq!(Isa::available().last().unwrap().name(), "portable");
    assert!(Isa::by_name("sse9").unwrap_err().to_string().contains("avx512, avx2, portable"));
}

/// The compiler's own view of the processor must agree with what was found, so that a detection that silently falls
/// back is seen.
#[test]
#[cfg(target_arch = "x86_64")]
fn nothing_this_machine_has_is_left_out() {
    let has = |name| Isa::available().iter().any(|isa| isa.name() == name);
    assert_eq!(has("avx512"), is_x86_feature_detected!("avx512f"));
    assert_eq!(has("avx2"), is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"));
}
