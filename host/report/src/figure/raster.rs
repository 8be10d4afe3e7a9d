//! Matrices as small images.

use std::cell::OnceCell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use miniz_oxide::deflate::compress_to_vec_zlib;
use ndarray::{Array2, s};

use super::palette::{BLUE, VERMILLION};

/// Shades on either side of zero.
const SHADES: usize = 60;
/// zlib's strongest compression.
const STRONGEST: u8 = 9;

/// A heat map of signed values: blue below zero, vermillion above, the more
/// opaque the farther from zero, so that it fits light pages and dark ones.
#[derive(Clone, Debug)]
pub struct Raster {
    /// Pixels from left to right.
    pub width: usize,
    /// Pixels from top to bottom.
    pub height: usize,
    /// The shade of each pixel, row by row: an index into its palette.
    shades: Vec<u8>,
    address: OnceCell<String>,
}

impl Raster {
    /// The heat map of a matrix. Values beyond ±`limit` are fully opaque.
    pub fn new(matrix: &Array2<f32>, limit: f32) -> Self {
        let bound = SHADES as f32;
        let scale = if limit > 0.0 { bound / limit } else { 0.0 };
        let shade = |value: &f32| ((value * scale).round().clamp(-bound, bound) + bound) as u8;
        let (height, width) = matrix.dim();
        Raster { width, height, shades: matrix.iter().map(shade).collect(), address: OnceCell::new() }
    }

    /// The image as a `data:` address.
    pub fn address(&self) -> &str {
        self.address.get_or_init(|| format!("data:image/png;base64,{}", STANDARD.encode(self.png())))
    }

    /// The image as a PNG file with a palette.
    fn png(&self) -> Vec<u8> {
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        let mut chunk = |kind: &[u8; 4], data: &[u8]| {
            png.extend((data.len() as u32).to_be_bytes());
            let start = png.len();
            png.extend(kind);
            png.extend(data);
            let sum = crc32fast::hash(&png[start..]);
            png.extend(sum.to_be_bytes());
        };
        let mut header = [self.width, self.height].map(|side| (side as u32).to_be_bytes()).concat();
        // Eight bits a pixel, colours from a palette, zlib, rows each with a
        // filter of its own, not interlaced.
        header.extend([8, 3, 0, 0, 0]);
        chunk(b"IHDR", &header);
        chunk(b"PLTE", &palette());
        chunk(b"tRNS", &opacity());
        let row = |shades: &[u8]| [&[NO_FILTER], shades].concat();
        let rows: Vec<u8> = self.shades.chunks(self.width.max(1)).flat_map(row).collect();
        chunk(b"IDAT", &compress_to_vec_zlib(&rows, STRONGEST));
        chunk(b"IEND", &[]);
        png
    }

    /// The pixels' shades, compressed by zlib.
    pub fn compressed_shades(&self) -> Vec<u8> {
        compress_to_vec_zlib(&self.shades, STRONGEST)
    }
}

/// A PNG row that is stored as it is.
const NO_FILTER: u8 = 0;

/// Red, green and blue of each shade on white paper.
pub fn palette_on_white() -> Vec<u8> {
    let on_white =
        |level: u8, opacity: u8| 255 - (f64::from(255 - level) * f64::from(opacity) / 255.0).round() as u8;
    let shades = palette();
    let shades = shades.chunks(3).zip(opacity());
    shades.flat_map(|(rgb, opacity)| rgb.iter().map(move |level| on_white(*level, opacity))).collect()
}

/// Red, green and blue of each shade.
fn palette() -> Vec<u8> {
    (0..=2 * SHADES).flat_map(|shade| if shade < SHADES { BLUE.rgb } else { VERMILLION.rgb }).collect()
}

/// The opacity of each shade.
fn opacity() -> Vec<u8> {
    (0..=2 * SHADES).map(|shade| (255 * shade.abs_diff(SHADES) / SHADES) as u8).collect()
}

/// A square matrix with at most `side` rows: the means of blocks.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_have_sign_and_strength() {
        let matrix = Array2::from_shape_vec((2, 3), vec![-1.0, 0.0, 1.0, 0.5, -9.0, 9.0]).unwrap();
        let raster = Raster::new(&matrix, 1.0);
        assert_eq!((raster.width, raster.height), (3, 2));
        let pixel = |i: usize| {
            let shade = usize::from(raster.shades[i]);
            (palette()[3 * shade..3 * shade + 3].to_vec(), opacity()[shade])
        };
        assert_eq!(pixel(0), (vec![0x00, 0x72, 0xB2], 255));
        assert_eq!(pixel(1).1, 0);
        assert_eq!(pixel(2), (vec![0xD5, 0x5E, 0x00], 255));
        assert_eq!(pixel(3).1, 127);
        assert_eq!((pixel(4), pixel(5)), (pixel(0), pixel(2)));
        let paper = palette_on_white();
        let ends = [0, SHADES, 2 * SHADES].map(|shade| paper[3 * shade..3 * shade + 3].to_vec());
        assert_eq!(ends, [vec![0x00, 0x72, 0xB2], vec![255; 3], vec![0xD5, 0x5E, 0x00]]);
        assert_eq!(Raster::new(&Array2::from_elem((2, 2), 1.0), 0.0).shades, [SHADES as u8; 4]);
    }

    #[test]
    fn a_png_holds_every_pixel_and_right_sums() {
        let matrix = Array2::from_shape_fn((5, 7), |(i, j)| i as f32 - j as f32);
        let raster = Raster::new(&matrix, 6.0);
        let png = raster.png();
        let mut rest = png.strip_prefix(b"\x89PNG\r\n\x1a\n").unwrap();
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            let (body, after) = rest[4..].split_at(4 + length);
            assert_eq!(after[..4], crc32fast::hash(body).to_be_bytes());
            chunks.push(body.split_at(4));
            rest = &after[4..];
        }
        let kinds: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.0).collect();
        assert_eq!(kinds, [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"]);
        assert_eq!(chunks[0].1, [0, 0, 0, 7, 0, 0, 0, 5, 8, 3, 0, 0, 0]);
        let rows = miniz_oxide::inflate::decompress_to_vec_zlib(chunks[3].1).unwrap();
        let pixels: Vec<u8> = rows.chunks(8).flat_map(|row| row[1..].to_vec()).collect();
        assert_eq!(pixels, raster.shades);
        assert!(rows.chunks(8).all(|row| row[0] == NO_FILTER));
    }

    #[test]
    fn blocks_are_averaged() {
        let matrix = Array2::from_shape_fn((4, 4), |(i, j)| (i * 4 + j) as f32);
        assert_eq!(reduced(&matrix, 2), ndarray::array![[2.5, 4.5], [10.5, 12.5]]);
        assert_eq!(reduced(&matrix, 4), matrix);
        assert_eq!(reduced(&Array2::zeros((5, 5)), 2).dim(), (2, 2));
    }
}
