//! The allocator: free lists of sizes that are powers of two, above memory that only grows.
//!
//! What lives here: where `String`, `Vec` and `Box` get their memory. A program lives for one message, so it needs to be
//! small and quick rather than thrifty; a resident one uses again what it freed.

use std::alloc::{GlobalAlloc, Layout};
use std::arch::wasm32::{memory_grow, memory_size};
use std::cell::UnsafeCell;

const PAGE_BYTES: usize = 65_536;
/// The smallest block, and what every block is aligned to.
const LEAST_BYTES: usize = 16;

struct Memory {
    free: UnsafeCell<[*mut u8; usize::BITS as usize]>,
    /// Where memory that was never used begins; 0 before the first allocation.
    at: UnsafeCell<usize>,
}

// SAFETY: a mini-program has one thread.
unsafe impl Sync for Memory {}

#[global_allocator]
static MEMORY: Memory =
    Memory { free: UnsafeCell::new([std::ptr::null_mut(); usize::BITS as usize]), at: UnsafeCell::new(0) };

extern "C" {
    /// The linker's: its address is where data and stack end.
    static __heap_base: u8;
}

/// The free list that a block of this layout belongs to, and its bytes; none where there is no such number.
fn class_of(layout: Layout) -> Option<(usize, usize)> {
    let bytes = layout.size().max(layout.align()).max(LEAST_BYTES).checked_next_power_of_two()?;
    Some((bytes.trailing_zeros() as usize, bytes))
}

impl Memory {
    /// A block from memory that was never used; null where there is none.
    unsafe fn fresh(&self, bytes: usize, align: usize) -> *mut u8 {
        let at = &mut *self.at.get();
        if *at == 0 {
            *at = std::ptr::addr_of!(__heap_base) as usize;
        }
        let align = align.max(LEAST_BYTES);
        let start = match at.checked_add(align - 1) {
            Some(above) => above & !(align - 1),
            None => return std::ptr::null_mut(),
        };
        let end = match start.checked_add(bytes) {
            Some(end) => end,
            None => return std::ptr::null_mut(),
        };
        let have = memory_size(0) * PAGE_BYTES;
        if end > have && memory_grow(0, (end - have + PAGE_BYTES - 1) / PAGE_BYTES) == usize::MAX {
            return std::ptr::null_mut();
        }
        *at = end;
        start as *mut u8
    }
}

// SAFETY: a block is in one free list or in use, never both, and as large as its class says.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (class, bytes) = match class_of(layout) {
            Some(found) => found,
            None => return std::ptr::null_mut(),
        };
        let free = &mut (*self.free.get())[class % usize::BITS as usize];
        if free.is_null() || *free as usize % layout.align() != 0 {
            return self.fresh(bytes, layout.align());
        }
        let block = *free;
        *free = *(block as *mut *mut u8);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some((class, _)) = class_of(layout) {
            let free = &mut (*self.free.get())[class % usize::BITS as usize];
            *(block as *mut *mut u8) = *free;
            *free = block;
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let wanted = match Layout::from_size_align(size, layout.align()) {
            Ok(wanted) => wanted,
            Err(_) => return std::ptr::null_mut(),
        };
        if class_of(wanted) == class_of(layout) {
            return block;
        }
        let moved = self.alloc(wanted);
        if !moved.is_null() {
            std::ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
            self.dealloc(block, layout);
        }
        moved
    }
}
