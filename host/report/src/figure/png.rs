//! Matrices as small images.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ndarray::{Array2, s};
use pallium_core::{Error, Result};

use super::palette::{BLUE, VERMILLION};

/// Steps on either side of zero.
const STEPS: usize = 60;

/// A signed matrix as PNG: blue below zero, vermillion above, the more opaque
/// the farther from zero, so that it fits light pages and dark ones. What is
/// beyond ±`limit` is as opaque as can be.
///
/// # Errors
/// Never, but for a bug.
pub fn signed(matrix: &Array2<f32>, limit: f32) -> Result<Vec<u8>> {
    let bug = |e: &dyn std::fmt::Display| Error::bug(format!("an image cannot be written: {e}"));
    let (rows, columns) = matrix.dim();
    let mut palette = Vec::new();
    let mut opacity = Vec::new();
    for step in 0..=2 * STEPS {
        let colour = if step < STEPS { BLUE } else { VERMILLION };
        palette.extend([colour.0, colour.1, colour.2]);
        opacity.push((255 * step.abs_diff(STEPS) / STEPS) as u8);
    }
    let scale = if limit > 0.0 { STEPS as f32 / limit } else { 0.0 };
    let bound = STEPS as f32;
    let index = |w: f32| ((w * scale).round().clamp(-bound, bound) + bound) as u8;
    let pixels: Vec<u8> = matrix.iter().map(|&w| index(w)).collect();
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, columns as u32, rows as u32);
    encoder.set_color(::png::ColorType::Indexed);
    encoder.set_depth(::png::BitDepth::Eight);
    encoder.set_palette(palette);
    encoder.set_trns(opacity);
    encoder.set_compression(::png::Compression::High);
    let mut writer = encoder.write_header().map_err(|e| bug(&e))?;
    writer.write_image_data(&pixels).map_err(|e| bug(&e))?;
    writer.finish().map_err(|e| bug(&e))?;
    Ok(bytes)
}

/// A matrix no larger than `side`: means of blocks.
pub fn reduced(matrix: &Array2<f32>, side: usize) -> Array2<f32> {
    let n = matrix.nrows();
    if n <= side || side == 0 {
        return matrix.clone();
    }
    let bound = |k: usize| k * n / side;
    Array2::from_shape_fn((side, side), |(i, j)| {
        matrix.slice(s![bound(i)..bound(i + 1), bound(j)..bound(j + 1)]).mean().unwrap_or(0.0)
    })
}

/// Bytes as a `data:` address.
pub fn address(bytes: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_sign_and_size() {
        let matrix = Array2::from_shape_vec((2, 3), vec![-1.0, 0.0, 1.0, 0.5, -9.0, 9.0]).unwrap();
        let bytes = signed(&matrix, 1.0).unwrap();
        let mut decoder = ::png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(::png::Transformations::EXPAND | ::png::Transformations::ALPHA);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (3, 2));
        let pixel = |i: usize| &pixels[4 * i..4 * i + 4];
        assert_eq!(pixel(0), [0x00, 0x72, 0xB2, 255]);
        assert_eq!(pixel(1)[3], 0);
        assert_eq!(pixel(2), [0xD5, 0x5E, 0x00, 255]);
        assert_eq!(pixel(3)[3], 127);
        assert_eq!((pixel(4)[2], pixel(5)[0]), (0xB2, 0xD5));
        assert!(signed(&Array2::zeros((2, 2)), 0.0).is_ok());
    }

    #[test]
    fn blocks_are_averaged() {
        let matrix = Array2::from_shape_fn((4, 4), |(i, j)| (i * 4 + j) as f32);
        assert_eq!(reduced(&matrix, 2), ndarray::array![[2.5, 4.5], [10.5, 12.5]]);
        assert_eq!(reduced(&matrix, 4), matrix);
        assert_eq!(reduced(&Array2::zeros((5, 5)), 2).dim(), (2, 2));
    }
}
