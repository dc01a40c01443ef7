//! Converts ECDSA signatures to low S, which Fabric's MSP requires (`bccsp/sw/ecdsa.go`).
//!
//! If S makes a valid signature, so does order − S. Fabric accepts only the smaller one, so that a
//! signed message has one form.

/// The order of P-256 (FIPS 186-4, D.1.2.3), big-endian.
pub const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The order of P-384 (FIPS 186-4, D.1.2.4), big-endian.
pub const P384_ORDER: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
    0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];

/// Returns the DER signature with the smaller of S and order − S, or `None` if it is not a
/// signature of the curve with this order.
pub fn low_s<const N: usize>(signature: &[u8], order: &[u8; N]) -> Option<Vec<u8>> {
    let [0x30, length, body @ ..] = signature else {
        return None;
    };
    let (r, rest) = integer::<N>(body)?;
    let (s, rest) = integer::<N>(rest)?;
    if !rest.is_empty() || usize::from(*length) != body.len() {
        return None;
    }
    let mirrored = minus(order, &s);
    let s = if mirrored < s { mirrored } else { s };
    let body = [encoded(&r), encoded(&s)].concat();
    let length = u8::try_from(body.len()).ok()?;
    Some([&[0x30, length], body.as_slice()].concat())
}

/// Subtracts big-endian numbers. `other` must not be greater.
fn minus<const N: usize>(number: &[u8; N], other: &[u8; N]) -> [u8; N] {
    let mut result = [0; N];
    let mut borrow = 0;
    for i in (0..N).rev() {
        let difference = i16::from(number[i]) - i16::from(other[i]) - borrow;
        borrow = i16::from(difference < 0);
        result[i] = difference.rem_euclid(256) as u8;
    }
    result
}

/// Parses a DER INTEGER of at most N bytes. Returns it and the remaining bytes.
fn integer<const N: usize>(der: &[u8]) -> Option<([u8; N], &[u8])> {
    let [0x02, length, rest @ ..] = der else {
        return None;
    };
    let (bytes, rest) = rest.split_at_checked(usize::from(*length))?;
    let bytes = match bytes {
        [0, bytes @ ..] => bytes,
        bytes => bytes,
    };
    let mut number = [0; N];
    number
        .get_mut(N.checked_sub(bytes.len())?..)?
        .copy_from_slice(bytes);
    Some((number, rest))
}

fn encoded<const N: usize>(number: &[u8; N]) -> Vec<u8> {
    let first = number.iter().position(|byte| *byte != 0).unwrap_or(N - 1);
    let mut bytes = number[first..].to_vec();
    if bytes[0] >= 0x80 {
        bytes.insert(0, 0);
    }
    [vec![0x02, bytes.len() as u8], bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(s: &[u8]) -> Vec<u8> {
        let body = [&[0x02, 0x01, 0x05, 0x02, s.len() as u8], s].concat();
        [&[0x30, body.len() as u8], body.as_slice()].concat()
    }

    #[test]
    fn a_high_s_is_mirrored_and_a_low_one_kept() {
        fn check<const N: usize>(order: &[u8; N]) {
            let mut high = *order;
            high[N - 1] -= 7;
            let high = [&[0], high.as_slice()].concat();
            assert_eq!(low_s(&signature(&high), order), Some(signature(&[7])));
            for low in [&[7][..], &[0, 0x80]] {
                assert_eq!(low_s(&signature(low), order), Some(signature(low)));
            }
        }
        check(&P256_ORDER);
        check(&P384_ORDER);
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0],
            &[0x30, 2, 2, 9],
            &[0x30, 3, 2, 1, 1],
            &[0x31, 6, 2, 1, 1, 2, 1, 1],
            &[0x30, 5, 2, 1, 1, 2, 1, 1],
        ] {
            assert_eq!(low_s(bytes, &P256_ORDER), None, "{bytes:?}");
        }
        let long = signature(&[1; 33]);
        assert_eq!(low_s(&long, &P256_ORDER), None);
        assert_eq!(low_s(&long, &P384_ORDER), Some(long));
    }
}
