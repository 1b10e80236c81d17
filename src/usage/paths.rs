//! The paths of all families as one tree of names, so that a document is walked once whatever family it belongs to.
//!
//! A path names members from the top of a document: `usage.inputTokens`; `[]` stands for every element of an array and
//! `*` for every member of an object. Only paths from the top are known, which is why a look-alike in generated text, in
//! a tool's input or in a trace cannot be taken for a count.

use std::sync::LazyLock;

use crate::usage::family::{AGENT_FAMILIES, ERROR_FAMILIES, FAMILIES, Family, Meaning};
use crate::wire::json::Place;

/// The tree. A [`Place`] is the number of a node; the document itself is [`ROOT`].
#[derive(Debug)]
pub(crate) struct Paths {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    meaning: Option<Meaning>,
    /// Those of a length together.
    members: Vec<Vec<(&'static str, Place)>>,
    any_member: Option<Place>,
    element: Option<Place>,
}

/// The document.
pub(crate) const ROOT: Place = Place(0);

/// What a model's answer is read by.
pub(crate) static MODEL_PATHS: LazyLock<Paths> = LazyLock::new(|| Paths::of(FAMILIES));

/// What an agent's traces are read by.
pub(crate) static AGENT_PATHS: LazyLock<Paths> = LazyLock::new(|| Paths::of(AGENT_FAMILIES));

/// What any other answer is read by.
pub(crate) static ERROR_PATHS: LazyLock<Paths> = LazyLock::new(|| Paths::of(ERROR_FAMILIES));

impl Paths {
    /// The tree of these families' paths. Where two families name the same path, they mean the same by it.
    pub(crate) fn of(families: &[&Family]) -> Self {
        let mut paths = Self {
            nodes: vec![Node::default()],
        };
        for family in families {
            for (path, meaning) in family.paths {
                paths.insert(ROOT, path, *meaning);
            }
            for prefix in family.usage_at {
                let usage = paths.locate(ROOT, prefix);
                for (path, meaning) in family.usage {
                    paths.insert(usage, path, *meaning);
                }
            }
        }
        paths
    }

    /// The place of the member `key` of the object at `place`.
    pub(crate) fn member(&self, place: Place, key: &[u8]) -> Option<Place> {
        let node = self.node(place)?;
        let named = node.members.get(key.len()).and_then(|members| {
            members
                .iter()
                // The first octet tells most of them apart, and sooner than a comparison of slices.
                .find(|(name, _)| name.as_bytes().first() == key.first() && name.as_bytes() == key)
        });
        named.map(|(_, place)| *place).or(node.any_member)
    }

    /// The place of every element of the array at `place`.
    pub(crate) fn element(&self, place: Place) -> Option<Place> {
        self.node(place)?.element
    }

    /// What stands at `place`.
    pub(crate) fn meaning(&self, place: Place) -> Option<Meaning> {
        self.node(place)?.meaning
    }

    /// Whether no path leads further than `place`.
    pub(crate) fn is_leaf(&self, place: Place) -> bool {
        self.node(place).is_none_or(|node| {
            node.members.is_empty() && node.any_member.is_none() && node.element.is_none()
        })
    }

    fn insert(&mut self, from: Place, path: &'static str, meaning: Meaning) {
        let place = self.locate(from, path);
        if let Some(node) = self.node_mut(place) {
            debug_assert!(
                node.meaning.is_none_or(|other| other.agrees_with(meaning)),
                "{path} means two things"
            );
            node.meaning = Some(meaning);
        }
    }

    /// The node at the end of `path`, made if need be.
    fn locate(&mut self, from: Place, path: &'static str) -> Place {
        let mut place = from;
        for step in path.split('.') {
            let name = step.trim_end_matches("[]");
            place = self.child(place, name);
            for _ in 0..(step.len() - name.len()) / "[]".len() {
                place = self.child(place, "[]");
            }
        }
        place
    }

    fn child(&mut self, place: Place, name: &'static str) -> Place {
        let next = Place(u16::try_from(self.nodes.len()).unwrap_or(u16::MAX));
        let Some(node) = self.node_mut(place) else {
            return place;
        };
        let child = match name {
            "[]" => *node.element.get_or_insert(next),
            "*" => *node.any_member.get_or_insert(next),
            _ => {
                if node.members.len() <= name.len() {
                    node.members.resize(name.len() + 1, Vec::new());
                }
                let members = node.members.get_mut(name.len());
                members.map_or(next, |members| {
                    let known = members.iter().find(|(other, _)| *other == name);
                    known.map(|(_, place)| *place).unwrap_or_else(|| {
                        members.push((name, next));
                        next
                    })
                })
            }
        };
        if child == next {
            self.nodes.push(Node::default());
        }
        child
    }

    fn node(&self, place: Place) -> Option<&Node> {
        self.nodes.get(usize::from(place.0))
    }

    fn node_mut(&mut self, place: Place) -> Option<&mut Node> {
        self.nodes.get_mut(usize::from(place.0))
    }
}
