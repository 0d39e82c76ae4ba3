//! Named bad files: each is refused, and by its own name.

use super::*;

struct Good {
    coder: Coder,
    coded: Arc<CodedSegment>,
    item: Item,
    placed: Placed,
}

/// One file of six chunks, the last one short, coded 2 of 3: three cells to a shard.
fn good() -> Good {
    let mut rng = FixedRng::new("good");
    let segment = pack(1 << 20, &[plain("good", 5 * CHUNK + 777)], 1 << 20, &mut rng).remove(0);
    let coder = Coder::new(Coding::new(2, 3).unwrap());
    let item = segment.items[0].1.clone();
    let coded = Arc::new(coder.encode(segment.bytes).unwrap());
    let placed = place(&coded, &mut rng);
    Good { coder, coded, item, placed }
}

fn open(item: &Item, sealed: &[u8]) -> Result<Vec<u8>, ItemError> {
    let mut out = Vec::new();
    ItemOpener::new(item).open_range(0..item.bytes, &mut sealed.to_vec(), &mut out).map(|()| out)
}

const SEALED: usize = CHUNK + TAG;

#[test]
fn an_item_cut_off_or_prolonged_is_refused_by_its_length() {
    let Good { coded, item, .. } = good();
    let sealed = coded.sealed();
    for cut in [0, 1, TAG, SEALED, sealed.len() - 1] {
        let expected = sealed.len();
        assert_eq!(open(&item, &sealed[..cut]), Err(ItemError::Length { found: cut, expected }));
    }
    assert!(matches!(open(&item, &[sealed, &[0]].concat()), Err(ItemError::Length { .. })));
}

#[test]
fn an_item_shortened_in_sealed_bytes_and_record_alike_is_refused_at_its_last_chunk() {
    let Good { coded, mut item, .. } = good();
    item.bytes = 2 * CHUNK as u64;
    assert_eq!(open(&item, &coded.sealed()[..2 * SEALED]), Err(ItemError::Chunk { chunk: 1 }));
}

#[test]
fn chunks_that_change_places_are_told_from_each_other() {
    let Good { coded, item, .. } = good();
    let mut swapped = coded.sealed().to_vec();
    let (first, rest) = swapped.split_at_mut(SEALED);
    first.swap_with_slice(&mut rest[..SEALED]);
    assert_eq!(open(&item, &swapped), Err(ItemError::Chunk { chunk: 0 }));
}

#[test]
fn an_item_under_another_key_id_or_segment_is_refused_at_its_first_chunk() {
    let Good { coded, item, .. } = good();
    let mut wrong = [item.clone(), item.clone(), item.clone()];
    wrong[0].key = SecretKey([9; 32]);
    wrong[1].id[5] ^= 1;
    wrong[2].segment.0[31] ^= 1;
    for item in wrong {
        assert_eq!(open(&item, coded.sealed()), Err(ItemError::Chunk { chunk: 0 }));
    }
}

#[test]
fn a_bit_flipped_anywhere_in_an_item_names_its_chunk() {
    let Good { coded, item, .. } = good();
    let len = coded.sealed().len();
    for at in [0, CHUNK - 1, CHUNK, SEALED - 1, SEALED, 3 * SEALED, len - TAG, len - 1] {
        let mut bytes = coded.sealed().to_vec();
        bytes[at] ^= 0x10;
        assert_eq!(open(&item, &bytes), Err(ItemError::Chunk { chunk: (at / SEALED) as u32 }), "byte {at}");
    }
}

#[test]
fn a_chunk_that_the_item_does_not_have_is_refused() {
    let Good { item, .. } = good();
    let refused = ItemOpener::new(&item).open_chunk(6, &mut [0; 793]).map(<[u8]>::len);
    assert_eq!(refused, Err(ItemError::NoSuchChunk { chunk: 6 }));
}

/// What the reader of column 0 says to these bytes.
fn take(placed: &Placed, bytes: &[u8]) -> Result<Vec<u8>, ShardError> {
    let mut reader = ShardOpener::new(&placed.outer, &placed.shards[0].0, placed.layout).read(0..u32::MAX);
    bytes.chunks(40_000).try_for_each(|bytes| reader.push(bytes))?;
    reader.finish()
}

#[test]
fn a_shard_cut_off_is_refused_at_the_cell_that_is_missing() {
    let Good { placed, .. } = good();
    let shard = &placed.shards[0].1;
    for (cut, cell) in [(0, 0), (SEALED - 1, 0), (SEALED, 1), (shard.len() - 1, placed.layout.stripes() - 1)]
    {
        assert_eq!(take(&placed, &shard[..cut]), Err(ShardError::Truncated { cell }));
    }
}

#[test]
fn a_shard_with_more_bytes_than_asked_for_is_refused() {
    let Good { placed, .. } = good();
    let expected = placed.layout.shard_len();
    let long = [placed.shards[0].1.as_slice(), &[0]].concat();
    assert_eq!(take(&placed, &long), Err(ShardError::TooLong { expected }));
}

#[test]
fn a_bit_flipped_anywhere_in_a_shard_names_its_cell() {
    let Good { placed, .. } = good();
    let len = placed.shards[0].1.len();
    for at in [0, CHUNK, SEALED - 1, SEALED, len - TAG, len - 1] {
        let mut bytes = placed.shards[0].1.clone();
        bytes[at] ^= 1;
        assert_eq!(take(&placed, &bytes), Err(ShardError::Cell { cell: (at / SEALED) as u32 }), "byte {at}");
    }
}

#[test]
fn a_shard_of_another_column_file_or_sealing_is_refused_at_its_first_cell() {
    let Good { coder, coded, placed, .. } = good();
    let mut rng = FixedRng::new("other");
    let other = pack(1 << 20, &[plain("other", 5 * CHUNK + 777)], 1 << 20, &mut rng).remove(0);
    let other = place(&Arc::new(coder.encode(other.bytes).unwrap()), &mut rng);
    let again = place(&coded, &mut rng);
    for shard in [&placed.shards[1].1, &other.shards[0].1, &again.shards[0].1] {
        assert_eq!(shard.len(), placed.shards[0].1.len());
        assert_eq!(take(&placed, shard), Err(ShardError::Cell { cell: 0 }));
    }
}

#[test]
fn cells_that_change_places_or_lengths_are_refused() {
    let Good { placed, .. } = good();
    let opener = ShardOpener::new(&placed.outer, &placed.shards[0].0, placed.layout);
    let shard = &placed.shards[0].1;
    let open = |cell, bytes: &[u8]| opener.open_cell(cell, &mut bytes.to_vec()).map(<[u8]>::len);
    assert_eq!(open(0, &shard[..SEALED]), Ok(UNIT));
    assert_eq!(open(1, &shard[..SEALED]), Err(ShardError::Cell { cell: 1 }));
    let short = ShardError::CellLength { cell: 0, found: SEALED - 1, expected: SEALED };
    assert_eq!(open(0, &shard[..SEALED - 1]), Err(short));
    assert_eq!(open(99, &shard[..SEALED]), Err(ShardError::NoSuchCell { cell: 99 }));
}

#[test]
fn columns_that_do_not_belong_are_refused_before_decoding() {
    let Good { coder, coded, .. } = good();
    let (layout, all) = (*coded.layout(), 0..coded.layout().stripes());
    let column = |column: u8| (column, coded.column(column));
    let decode =
        |mut columns: Vec<(u8, Vec<u8>)>| coder.decode(&layout, all.clone(), &mut columns).map(|_| ());
    assert_eq!(decode(vec![column(2), column(1)]), Ok(()));
    assert_eq!(decode(vec![column(2)]), Err(CodingError::TooFew { have: 1, k: 2 }));
    assert_eq!(decode(vec![column(2), column(2)]), Err(CodingError::Column { column: 2 }));
    assert_eq!(decode(vec![column(0), (3, coded.column(1))]), Err(CodingError::Column { column: 3 }));
    let expected = layout.column_len();
    let cut = vec![column(0), (1, coded.column(1)[1..].to_vec())];
    assert_eq!(decode(cut), Err(CodingError::ColumnLength { column: 1, found: expected - 1, expected }));
    let other = Layout::new(layout.bytes(), 3).unwrap();
    assert_eq!(coder.decode(&other, all.clone(), &mut [column(0)]), Err(CodingError::OtherLayout));
    assert_eq!(Coding::new(3, 2), Err(CodingError::Impossible { k: 3, n: 2 }));
    assert_eq!(Coding::new(0, 2), Err(CodingError::Impossible { k: 0, n: 2 }));
}

#[test]
fn a_column_that_differs_in_one_bit_does_not_match_its_root() {
    let Good { coded, .. } = good();
    let mut column = coded.column(2);
    check_root(&column, &coded.roots()[2]).unwrap();
    column[70_000] ^= 1;
    assert_eq!(check_root(&column, &coded.roots()[2]), Err(ShardError::Root));
}
