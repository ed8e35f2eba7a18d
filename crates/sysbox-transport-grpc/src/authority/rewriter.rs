//! What of a connection is handed on as it came, and what is written anew. Pure: bytes in, bytes out.

use super::{
    FilterError,
    block::Block,
    frame::{self, Head, PREFACE, kind},
    hpack::{Decoder, MAX_DECODED},
};

/// How many bytes the frames of one header block may have in all, with heads and padding.
pub(super) const MAX_BLOCK: usize = 16 * 1024;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Its first header block is not known yet.
    Peek,
    /// Every header block is written anew.
    Rewrite,
    /// All of it is handed on as it comes.
    Pass,
}

/// Hands the bytes of a connection on, if need be with another authority.
///
/// **Invariant**: while it peeks it hands on what came, in order, and nothing fails; what does not look like HTTP/2 or is beyond
/// the limits makes it pass everything from there on, so that the server refuses it in its own way.
#[derive(Debug)]
pub(crate) struct Rewriter {
    mode: Mode,
    /// How much of the preface has come.
    preface: usize,
    /// What is held back: the head of a frame that is not all there, or the frames of a header block.
    held: Vec<u8>,
    /// Where in `held` the frame begins that is being received; it is not 0 within a header block.
    frame: usize,
    /// The stream of that header block.
    stream: u32,
    /// How many bytes of payload are still to be handed on as they come.
    through: usize,
    decoder: Decoder,
}

impl Rewriter {
    /// The most that is appended at once beside what was taken: what was held back, or a block with the heads of its frames.
    pub(crate) const LARGEST: usize = MAX_DECODED + MAX_DECODED / 1024;

    pub(crate) fn new() -> Self {
        let decoder = Decoder::default();
        Self { mode: Mode::Peek, preface: 0, held: Vec::new(), frame: 0, stream: 0, through: 0, decoder }
    }

    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }

    /// Takes some of what came, tells how much, and appends what is to be handed on. It takes something of any input, and of one
    /// input at most one header block, so that not more is appended than the input's length and what one block may become.
    ///
    /// # Errors
    /// In rewriting mode, for what cannot be rewritten. The connection can then only be closed.
    pub(crate) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, FilterError> {
        if self.mode == Mode::Pass {
            out.extend_from_slice(input);
            return Ok(input.len());
        }
        if self.preface < PREFACE.len() {
            return Ok(self.push_preface(input, out));
        }
        if self.through > 0 {
            let taken = self.through.min(input.len());
            out.extend_from_slice(&input[..taken]);
            self.through -= taken;
            return Ok(taken);
        }
        let wanted = match self.head() {
            Some(head) => self.frame + Head::LENGTH + head.length,
            None => self.frame + Head::LENGTH,
        };
        let taken = (wanted - self.held.len()).min(input.len());
        self.held.extend_from_slice(&input[..taken]);
        if self.held.len() == wanted
            && let Err(error) = self.step(out)
        {
            match self.mode {
                Mode::Rewrite => return Err(error),
                Mode::Peek | Mode::Pass => self.pass(out),
            }
        }
        Ok(taken)
    }

    /// Tells that nothing more comes.
    ///
    /// # Errors
    /// In rewriting mode, when it ends within a header block or the head of a frame.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) -> Result<(), FilterError> {
        if self.mode == Mode::Rewrite && !self.held.is_empty() {
            return Err(FilterError::Ended);
        }
        self.pass(out);
        Ok(())
    }

    /// What has come of the preface is known, so it is not held back.
    fn push_preface(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let taken = (PREFACE.len() - self.preface).min(input.len());
        out.extend_from_slice(&input[..taken]);
        if input[..taken] == PREFACE[self.preface..self.preface + taken] {
            self.preface += taken;
        } else {
            self.pass(out);
        }
        taken
    }

    /// The head of the frame that is being received, once it is there.
    fn head(&self) -> Option<Head> {
        self.held[self.frame..].first_chunk().map(|head| Head::parse(*head))
    }

    /// Goes on where all that was waited for is there: a head, or a head and its payload.
    fn step(&mut self, out: &mut Vec<u8>) -> Result<(), FilterError> {
        let Some(head) = self.head() else { return Ok(()) };
        let within = self.frame > 0;
        if !within && head.kind != kind::HEADERS {
            if head.kind == kind::PUSH_PROMISE {
                return Err(FilterError::Pushed);
            }
            out.append(&mut self.held);
            self.through = head.length;
            return Ok(());
        }
        if within && (head.kind != kind::CONTINUATION || head.stream != self.stream) {
            return Err(FilterError::Interleaved { kind: head.kind, stream: head.stream, open: self.stream });
        }
        let end = self.frame + Head::LENGTH + head.length;
        if end > MAX_BLOCK {
            return Err(FilterError::LongBlock);
        }
        if self.held.len() < end {
            return Ok(());
        }
        self.stream = head.stream;
        self.frame = end;
        if head.has(frame::END_HEADERS) { self.end_block(out) } else { Ok(()) }
    }

    fn end_block(&mut self, out: &mut Vec<u8>) -> Result<(), FilterError> {
        let rewritten = Block::from_frames(&self.held)?.rewrite(&mut self.decoder)?;
        if self.mode == Mode::Peek && !rewritten.refused {
            self.pass(out);
            return Ok(());
        }
        self.mode = Mode::Rewrite;
        rewritten.write(out);
        // Few blocks are large, so none leaves its room behind.
        self.held = Vec::new();
        self.frame = 0;
        Ok(())
    }

    /// From here on everything is handed on as it comes, what was held back first.
    fn pass(&mut self, out: &mut Vec<u8>) {
        self.mode = Mode::Pass;
        out.append(&mut self.held);
        self.held = Vec::new();
        self.decoder = Decoder::default();
    }
}
