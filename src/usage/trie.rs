//! The paths of several families laid over each other, each node holding what stands there.
//!
//! Several branches may apply to one value: a member by its name and by `*`, an element by its number and by `[]`.
//! [`paths`](crate::usage::paths) turns this into a tree in which each value has one place.

use std::collections::BTreeMap;

use crate::usage::family::Meaning;
use crate::usage::path::Step;

/// The root's number.
pub(crate) const TOP: usize = 0;

/// The paths as they were written.
#[derive(Debug)]
pub(crate) struct Trie {
    nodes: Vec<Branches>,
}

/// Where paths lead from a node.
#[derive(Debug, Default)]
pub(crate) struct Branches {
    /// By a family of ours; two families that share a path mean the same by it.
    pub(crate) meaning: Option<Meaning>,
    /// By the operator's tables.
    pub(crate) taught: Vec<Meaning>,
    pub(crate) members: BTreeMap<String, usize>,
    pub(crate) any_member: Option<usize>,
    pub(crate) indexed: BTreeMap<u32, usize>,
    pub(crate) element: Option<usize>,
}

impl Trie {
    /// One without a path.
    pub(crate) fn new() -> Self {
        Self {
            nodes: vec![Branches::default()],
        }
    }

    /// What leads on from the node of this number.
    pub(crate) fn branches(&self, node: usize) -> Option<&Branches> {
        self.nodes.get(node)
    }

    /// Adds a path of a family.
    pub(crate) fn insert(&mut self, steps: &[Step], meaning: Meaning) {
        let node = self.locate(steps);
        if let Some(node) = self.nodes.get_mut(node) {
            debug_assert!(
                node.meaning.is_none_or(|other| other.agrees_with(meaning)),
                "{steps:?} means two things"
            );
            node.meaning = Some(meaning);
        }
    }

    /// Adds a path of the operator's.
    pub(crate) fn teach(&mut self, steps: &[Step], meaning: Meaning) {
        let node = self.locate(steps);
        if let Some(node) = self.nodes.get_mut(node) {
            node.taught.push(meaning);
        }
    }

    /// The node at the end of `steps`, made if need be.
    fn locate(&mut self, steps: &[Step]) -> usize {
        steps.iter().fold(TOP, |node, step| self.child(node, step))
    }

    fn child(&mut self, parent: usize, step: &Step) -> usize {
        let next = self.nodes.len();
        let Some(node) = self.nodes.get_mut(parent) else {
            return parent;
        };
        let child = match step {
            Step::Member(name) => *node.members.entry(name.clone()).or_insert(next),
            Step::AnyMember => *node.any_member.get_or_insert(next),
            Step::Element => *node.element.get_or_insert(next),
            Step::Index(index) => {
                let child = *node.indexed.entry(*index).or_insert(next);
                *node.members.entry(index.to_string()).or_insert(child)
            }
            Step::Deep => {
                node.any_member = Some(parent);
                node.element = Some(parent);
                parent
            }
        };
        if child == next {
            self.nodes.push(Branches::default());
        }
        child
    }
}
