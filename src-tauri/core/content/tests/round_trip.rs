//! Sizes around every boundary, any k of n, any range.

use proptest::prelude::*;

use super::*;

const CODINGS: [(u8, u8); 9] =
    [(1, 1), (1, 4), (2, 2), (2, 3), (3, 5), (4, 12), (16, 40), (20, 255), (254, 255)];
const SMALL_TARGET: usize = 3 * (CHUNK + TAG) + 100;

/// Plain sizes at and around the places where something changes.
fn sizes() -> impl Strategy<Value = usize> {
    let edges = [
        0,
        1,
        TAG,
        CHUNK,
        2 * CHUNK,
        UNIT - TAG,
        2 * UNIT - 2 * TAG,
        4 * UNIT,
        3 * CHUNK + 84,
        6 * CHUNK + 168,
    ];
    let edge = prop::sample::select(edges.to_vec());
    prop_oneof![4 => (edge, -2i64..=2).prop_map(|(edge, off)| edge.saturating_add_signed(off as isize)),
        1 => 0usize..500_000]
}

/// A random k of the n columns, in random order.
fn subset(coding: Coding) -> impl Strategy<Value = Vec<u8>> {
    let shuffled = Just((0..coding.n()).collect::<Vec<u8>>()).prop_shuffle();
    shuffled.prop_map(move |mut columns| {
        columns.truncate(coding.k().into());
        columns
    })
}

fn coding() -> impl Strategy<Value = (Coding, Vec<u8>)> {
    let coding = prop::sample::select(CODINGS.to_vec()).prop_map(|(k, n)| Coding::new(k, n).unwrap());
    coding.prop_flat_map(|coding| (Just(coding), subset(coding)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn files_come_back_from_any_k_columns(
        sizes in prop::collection::vec(sizes(), 1..6),
        (coding, columns) in coding(),
        piece in prop_oneof![Just(1000usize), Just(65_536), Just(65_552), Just(1 << 20)],
        target in prop_oneof![Just(SMALL_TARGET), Just(CHUNK + TAG), Just(1 << 20)],
        from in 0.0f64..1.0, len in 0.0f64..1.0,
    ) {
        let mut rng = FixedRng::new("round trip");
        let files: Vec<_> = sizes.iter().enumerate().map(|(i, &len)| plain(&i.to_string(), len)).collect();
        let coder = Coder::new(coding);
        let mut whole = vec![Vec::new(); files.len()];
        for segment in pack(target, &files, piece, &mut rng) {
            prop_assert!(segment.bytes.len() <= target);
            let items = segment.items;
            let coded = Arc::new(coder.encode(segment.bytes).unwrap());
            let placed = place(&coded, &mut rng);
            prop_assert!(placed.shards.iter().all(|(_, shard)| shard.len() as u64 == placed.layout.shard_len()));
            for (file, item) in items {
                let file = usize::from(file.0[0]);
                let begin = (item.bytes as f64 * from) as u64;
                let range = begin..begin + ((item.bytes - begin) as f64 * len) as u64;
                let part = read(&placed, &coder, &columns, &item, range.clone(), piece);
                let all = read(&placed, &coder, &columns, &item, 0..item.bytes, piece);
                prop_assert_eq!(&part, &all[range.start as usize..range.end as usize]);
                whole[file].extend(all);
            }
        }
        prop_assert!(whole == files);
    }

    #[test]
    fn a_column_computed_again_matches_its_root(before in sizes(), len in sizes(), (coding, columns) in coding()) {
        prop_assume!(before > 0 && len > 0);
        let (coder, parities) = (Coder::new(coding), Parities::default());
        drop(coder.encode_with(&parities, plain("before", before)).unwrap());
        let first = coder.encode_with(&parities, plain("column", len)).unwrap();
        let mut some: Vec<_> = columns.iter().map(|&column| (column, first.column(column))).collect();
        let again = coder.decode(first.layout(), 0..first.layout().stripes(), &mut some).unwrap();
        prop_assert!(again == first.sealed());
        for (column, bytes) in &some {
            prop_assert!(bytes == &first.column(*column), "decoding changed what it was given");
        }
        let again = coder.encode(again).unwrap();
        for column in 0..coding.n() {
            check_root(&again.column(column), &first.roots()[usize::from(column)]).unwrap();
        }
    }

    #[test]
    fn a_range_costs_only_the_cells_that_hold_it(
        bytes in 1u64..2_000_000, k in 1u8..=255, from in 0u64..2_100_000, len in 0u64..300_000,
    ) {
        let layout = Layout::new(bytes, k).unwrap();
        let wanted = from..from + len;
        let held: Vec<_> = layout.cells_of(wanted.clone()).map(|(c, s)| layout.cell_bytes(c, s).unwrap()).collect();
        let mut at = from;
        for cell in &held {
            prop_assert!(cell.start <= at && at < cell.end && at < wanted.end, "no gap, no cell too many");
            at = cell.end;
        }
        prop_assert!(at >= wanted.end.min(bytes) || from >= bytes);
        let stripes = layout.stripes_of(wanted.clone());
        prop_assert_eq!(held.is_empty(), stripes.is_empty());
        let covered = layout.stripes_range(stripes);
        prop_assert!(held.iter().all(|cell| covered.start <= cell.start && cell.end <= covered.end));
    }
}

/// Reads part of an item: only the stripes that hold its chunks.
fn read(
    placed: &Placed,
    coder: &Coder,
    columns: &[u8],
    item: &Item,
    range: Range<u64>,
    piece: usize,
) -> Vec<u8> {
    let opener = ItemOpener::new(item);
    let needs = opener.needs(range.clone());
    let stripes = placed.layout.stripes_of(needs.clone());
    let mut decoded = placed.decode(coder, columns, stripes.clone(), piece);
    let base = placed.layout.stripes_range(stripes).start;
    let sealed = match needs.is_empty() {
        true => &mut [][..],
        false => &mut decoded[(needs.start - base) as usize..(needs.end - base) as usize],
    };
    let mut out = Vec::new();
    opener.open_range(range, sealed, &mut out).unwrap();
    out
}

#[test]
fn lengths_follow_from_bytes_and_k_alone() {
    for k in [1u8, 2, 3, 16, 255] {
        let stripe = u64::from(k) * UNIT as u64;
        for bytes in [1, u64::from(k), stripe - 1, stripe, stripe + 1, 3 * stripe + 7, MAX_SEGMENT as u64] {
            let Ok(layout) = Layout::new(bytes, k) else { continue };
            let units: usize = (0..layout.stripes()).map(|stripe| layout.unit_len(stripe)).sum();
            assert_eq!(layout.column_len(), units);
            assert_eq!(layout.unit_len(layout.stripes()), 0);
            assert!(layout.padded_len() as u64 >= bytes && layout.padded_len() as u64 - bytes < u64::from(k));
            assert_eq!(layout.cells_range(0..layout.stripes()), 0..layout.shard_len());
            assert_eq!(layout.stripes_range(0..layout.stripes()), 0..bytes);
        }
    }
    assert_eq!(Layout::new(0, 2), Err(LayoutError::SegmentBytes { bytes: 0 }));
    let bytes = MAX_SEGMENT as u64 + 1;
    assert_eq!(Layout::new(bytes, 2), Err(LayoutError::SegmentBytes { bytes }));
    assert_eq!(Layout::new(1, 0), Err(LayoutError::NoColumns));
}

#[test]
fn small_files_share_a_segment_and_one_that_does_not_fit_opens_the_next() {
    let mut rng = FixedRng::new("sharing");
    let files: Vec<_> = (0..9).map(|i| plain(&i.to_string(), 40_000)).collect();
    let segments = pack(SMALL_TARGET, &files, 1 << 20, &mut rng);
    let shared: Vec<_> = segments.iter().map(|segment| segment.items.len()).collect();
    assert_eq!(shared, [4, 4, 1]);
    assert!(segments.iter().flat_map(|segment| &segment.items).all(|(_, item)| item.bytes == 40_000));
}

#[test]
fn a_large_file_fills_segments_to_the_last_byte() {
    let mut rng = FixedRng::new("large");
    let segments = pack(SMALL_TARGET, &[plain("large", 900_000)], 1 << 20, &mut rng);
    let lens: Vec<_> = segments.iter().map(|segment| segment.bytes.len()).collect();
    assert!(lens[..lens.len() - 1].iter().all(|&len| len == SMALL_TARGET), "{lens:?}");
}

#[test]
fn an_empty_file_is_one_empty_chunk() {
    let mut rng = FixedRng::new("empty");
    let segments = pack(SMALL_TARGET, &[Vec::new()], 1, &mut rng);
    assert_eq!((segments.len(), segments[0].bytes.len(), segments[0].items.len()), (1, TAG, 1));
}

#[test]
fn a_file_given_up_leaves_no_bytes_in_the_segment_that_is_filling() {
    let mut packer = Packer::new(SMALL_TARGET, FixedRng::new("abandon")).unwrap();
    packer.begin(file_id(0), 10).unwrap();
    packer.push(b"stays here").unwrap();
    packer.end().unwrap();
    packer.begin(file_id(1), 70_000).unwrap();
    packer.push(&plain("gone", 70_000)).unwrap();
    assert!(matches!(packer.flush(), Err(PackError::StillOpen)));
    assert!(matches!(packer.begin(file_id(2), 0), Err(PackError::StillOpen)));
    packer.abandon();
    assert!(matches!(packer.push(b"?"), Err(PackError::NotBegun)));
    assert!(matches!(packer.end(), Err(PackError::NotBegun)));
    let segment = packer.flush().unwrap().unwrap();
    assert_eq!((segment.items.len(), segment.bytes.len()), (1, 10 + TAG));
    assert!(packer.flush().unwrap().is_none());
}

#[test]
fn another_target_counts_from_the_next_segment_on() {
    let mut packer = Packer::new(2 * (CHUNK + TAG), FixedRng::new("retarget")).unwrap();
    packer.begin(FileId([1; 32]), 10 * CHUNK as u64).unwrap();
    packer.retarget(3 * (CHUNK + TAG)).unwrap();
    let full = packer.push(&vec![7; 10 * CHUNK]).unwrap();
    let lengths: Vec<usize> = full.iter().map(|segment| segment.bytes.len() / (CHUNK + TAG)).collect();
    assert_eq!(lengths, [2, 3, 3]);
    assert!(matches!(packer.retarget(MAX_SEGMENT + 1), Err(PackError::Target { .. })));
}

#[test]
fn targets_that_cannot_be_are_refused() {
    for target in [0, CHUNK + TAG - 1, MAX_SEGMENT + 1] {
        assert!(matches!(Packer::new(target, FixedRng::new("")), Err(PackError::Target { .. })));
    }
}
