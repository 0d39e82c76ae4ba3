//! Sealed items and shards with bytes changed, segments with columns lost, and all arithmetic of layouts.

use std::sync::Arc;

use super::{next, rng};
use crate::{
    FileId, SegmentId,
    content::{Coder, Coding, ItemOpener, Layout, Packer, ShardOpener, ShardSealer},
    manifest::{Item, SecretKey},
};

const TARGET_BYTES: usize = 300_000;
const MOST_PLAIN_BYTES: usize = 200_000;

/// Plain bytes, as long as the input wishes and made of it.
fn plain(bytes: &mut &[u8]) -> Vec<u8> {
    let len = u32::from_le_bytes(next(bytes)) as usize % MOST_PLAIN_BYTES;
    (0..len).map(|at| bytes.get(at % bytes.len().max(1)).copied().unwrap_or(9) ^ (at >> 8) as u8).collect()
}

/// Changes one byte, or none; whether one was changed.
fn damage(bytes: &mut [u8], how: [u8; 5]) -> bool {
    let at = u32::from_le_bytes([how[0], how[1], how[2], how[3]]) as usize;
    if how[4] == 0 || bytes.is_empty() {
        return false;
    }
    let at = at % bytes.len();
    bytes[at] ^= how[4];
    true
}

/// A file packed into segments comes back; any changed byte of an item is noticed, wherever a range begins.
pub fn items(mut bytes: &[u8]) {
    let (how, range) = (next(&mut bytes), [next::<4>(&mut bytes), next::<4>(&mut bytes)]);
    let plain = plain(&mut bytes);
    let mut packer = Packer::new(TARGET_BYTES, rng()).expect("the target is in bounds");
    packer.begin(FileId([1; 32]), plain.len() as u64).expect("none is open");
    let mut segments = packer.push(&plain).expect("it was begun");
    packer.end().expect("it was begun");
    segments.extend(packer.flush().expect("none is open"));
    let mut back = Vec::new();
    for segment in &segments {
        for (_, item) in &segment.items {
            let mut sealed = sealed_of(item, &segment.bytes);
            ItemOpener::new(item).open_range(0..item.bytes, &mut sealed, &mut back).expect("unchanged");
            damaged_item(item, &segment.bytes, how, range);
        }
    }
    assert!(back == plain);
}

fn sealed_of(item: &Item, segment: &[u8]) -> Vec<u8> {
    let needs = ItemOpener::new(item).needs(0..item.bytes);
    segment[needs.start as usize..needs.end as usize].to_vec()
}

fn damaged_item(item: &Item, segment: &[u8], how: [u8; 5], range: [[u8; 4]; 2]) {
    let [from, to] = range.map(|at| u64::from(u32::from_le_bytes(at)) % (item.bytes + 2));
    let opener = ItemOpener::new(item);
    let needs = opener.needs(from..to);
    let mut sealed = segment[needs.start as usize..needs.end as usize].to_vec();
    let changed = damage(&mut sealed, how);
    let mut out = Vec::new();
    let opened = opener.open_range(from..to, &mut sealed, &mut out);
    assert_eq!(opened.is_err(), changed, "{opened:?}");
    if !changed {
        assert_eq!(out.len() as u64, to.min(item.bytes).saturating_sub(from));
    }
    let mut short = segment[needs.start as usize..needs.end as usize].to_vec();
    if short.pop().is_some() {
        opener.open_range(from..to, &mut short, &mut out).expect_err("a byte is missing");
    }
}

/// A column sealed for a farmer comes back in pieces of any size; any changed, missing or further byte is noticed.
pub fn shards(mut bytes: &[u8]) {
    let how = next(&mut bytes);
    let [k, spare, column, piece, from, to, tail] = next(&mut bytes);
    let sealed = plain(&mut bytes);
    if sealed.is_empty() {
        return;
    }
    let (k, spare) = (k % 3 + 1, spare % 3);
    let coder = Coder::new(Coding::new(k, k + spare).expect("in bounds"));
    let coded = Arc::new(coder.encode(sealed).expect("it has bytes"));
    let (key, layout) = (SecretKey::random(&mut rng()), *coded.layout());
    let sealer = ShardSealer::new(coded.clone(), column % (k + spare), &key, &mut rng());
    let mut shard = Vec::new();
    (0..layout.stripes()).for_each(|cell| sealer.seal_cell(cell, &mut shard));
    assert_eq!(shard.len() as u64, layout.shard_len());
    let stripes = u32::from(from) % (layout.stripes() + 1)..u32::from(to) % (layout.stripes() + 2);
    let cells = layout.cells_range(stripes.clone());
    let mut sent = shard[cells.start as usize..cells.end as usize].to_vec();
    let mut wrong = damage(&mut sent, how);
    match tail % 4 {
        1 => {
            sent.push(tail);
            wrong = true;
        }
        2 => wrong |= sent.pop().is_some(),
        _ => {}
    }
    let mut reader = ShardOpener::new(&key, &sealer.id(), layout).read(stripes.clone());
    let pushed = sent.chunks(usize::from(piece) * 97 + 1).try_for_each(|piece| reader.push(piece));
    let read = pushed.and_then(|()| reader.finish());
    assert_eq!(read.is_err(), wrong, "{read:?}");
    if let Ok(column_bytes) = read {
        let whole = coded.column(column % (k + spare));
        let units =
            stripes.filter(|stripe| *stripe < layout.stripes()).map(|stripe| layout.unit_range(stripe));
        assert!(column_bytes == units.map(|unit| &whole[unit]).collect::<Vec<_>>().concat());
    }
}

/// Any k of the n columns give a segment back.
pub fn coding(mut bytes: &[u8]) {
    let [k, spare, rotate] = next(&mut bytes);
    let (k, spare) = (k % 20 + 1, spare % 20);
    let sealed = plain(&mut bytes);
    if sealed.is_empty() {
        return;
    }
    let coder = Coder::new(Coding::new(k, k + spare).expect("k and n are in bounds"));
    let coded = coder.encode(sealed.clone()).expect("a segment that is not empty is coded");
    let n = u16::from(k + spare);
    let column = |index: u8| ((u16::from(index) + u16::from(rotate)) % n) as u8;
    let mut columns: Vec<(u8, Vec<u8>)> =
        (0..k).map(column).map(|column| (column, coded.column(column))).collect();
    let stripes = 0..coded.layout().stripes();
    let back = coder.decode(coded.layout(), stripes.clone(), &mut columns).expect("k columns are enough");
    assert!(back == sealed);
    let mut few: Vec<(u8, Vec<u8>)> =
        (1..k).map(column).map(|column| (column, coded.column(column))).collect();
    coder.decode(coded.layout(), stripes, &mut few).expect_err("k − 1 are not");
}

/// Figures of layouts and items agree with each other, whatever the numbers.
pub fn layouts(mut bytes: &[u8]) {
    let (segment, k) = (u64::from_le_bytes(next(&mut bytes)), next::<1>(&mut bytes)[0]);
    let [from, to] = [next(&mut bytes), next(&mut bytes)].map(u64::from_le_bytes);
    let [first, last] = [next(&mut bytes), next(&mut bytes)].map(u32::from_le_bytes);
    let item = Item {
        id: [1; 16],
        segment: SegmentId([1; 32]),
        offset: u64::from_le_bytes(next(&mut bytes)),
        bytes: u64::from_le_bytes(next(&mut bytes)),
        key: SecretKey::random(&mut rng()),
    };
    let needs = ItemOpener::new(&item).needs(from..to);
    assert!(needs.start <= needs.end && needs.start >= item.offset);
    let _ = item.chunks_range(first..last);
    for segment in [segment, segment % (65 << 20)] {
        let Ok(layout) = Layout::new(segment, k) else { continue };
        assert_eq!(layout.cells_range(0..layout.stripes()), 0..layout.shard_len());
        assert_eq!(layout.stripes_range(0..layout.stripes()), 0..layout.bytes());
        let cells = layout.cells_range(first..last);
        assert!(cells.start <= cells.end && cells.end <= layout.shard_len());
        let _ = (layout.unit_len(first), layout.unit_range(first), layout.is_last(first));
        for (from, to) in [(from, to), (from % segment, to % segment)] {
            let held = layout.stripes_range(layout.stripes_of(from..to));
            let wanted = from..to.min(layout.bytes());
            assert!(wanted.is_empty() || held.start <= wanted.start && wanted.end <= held.end);
            let few = layout.cells_of(from..to).take(200);
            for (column, stripe) in few {
                let held = layout.cell_bytes(column, stripe).expect("it holds some of them");
                assert!(held.start < to && from < held.end && held.end <= layout.bytes());
            }
        }
    }
}
