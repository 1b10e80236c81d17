//! The paths of all families as one tree of names, so that a document is walked once whatever family it belongs to.
//!
//! Only paths from the top of a document are known (their form: `path`), which is why a look-alike in generated text, in
//! a tool's input or in a trace cannot be taken for a count. Where a name and `*`, or a number and `[]`, both apply to a
//! value, its place has the meanings of both: the operator's paths are read beside ours and never hide them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use crate::usage::family::{AGENT_FAMILIES, FAMILIES, Family, Meaning, SERVICE_FAMILIES};
use crate::usage::path::{self, Step};
use crate::usage::trie::{Branches, TOP, Trie};
use crate::wire::json::Place;

/// The tree. A [`Place`] is the number of a node; the document itself is [`ROOT`].
#[derive(Debug)]
pub(crate) struct Paths {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    meanings: Vec<Meaning>,
    /// Those of a length together.
    members: Vec<Vec<(Box<[u8]>, Place)>>,
    any_member: Option<Place>,
    indexed: Vec<(u32, Place)>,
    element: Option<Place>,
}

/// A path that the operator taught.
#[derive(Clone, Debug)]
pub(crate) struct TaughtPath {
    /// From the top of the document.
    pub(crate) steps: Vec<Step>,
    /// What stands there.
    pub(crate) meaning: Meaning,
}

/// The document.
pub(crate) const ROOT: Place = Place(0);

/// What a model's answer is read by.
pub(crate) static MODEL_PATHS: LazyLock<Arc<Paths>> = LazyLock::new(|| built_in(FAMILIES));

/// What an agent's traces are read by.
pub(crate) static AGENT_PATHS: LazyLock<Arc<Paths>> = LazyLock::new(|| built_in(AGENT_FAMILIES));

/// What any other answer is read by.
pub(crate) static SERVICE_PATHS: LazyLock<Arc<Paths>> =
    LazyLock::new(|| built_in(SERVICE_FAMILIES));

/// Our own tables are far below the limit; a test builds them.
fn built_in(families: &[&Family]) -> Arc<Paths> {
    let paths = Paths::of(families, &[]);
    Arc::new(paths.unwrap_or_else(|| Paths {
        nodes: vec![Node::default()],
    }))
}

impl Paths {
    /// The tree of these families' paths and of what the operator taught; `None` if it has more places than there are
    /// numbers.
    pub(crate) fn of<'a>(
        families: &[&Family],
        taught: impl IntoIterator<Item = &'a TaughtPath>,
    ) -> Option<Self> {
        let mut trie = Trie::new();
        for family in families {
            for (path, meaning) in family.paths {
                insert(&mut trie, &[path], *meaning);
            }
            for prefix in family.usage_at {
                for (path, meaning) in family.usage {
                    insert(&mut trie, &[prefix, path], *meaning);
                }
            }
        }
        for TaughtPath { steps, meaning } in taught {
            trie.teach(steps, *meaning);
        }
        Self::from_trie(&trie)
    }

    /// The place of the member `key` of the object at `place`.
    pub(crate) fn member(&self, place: Place, key: &[u8]) -> Option<Place> {
        let node = self.node(place)?;
        let named = node.members.get(key.len()).and_then(|members| {
            members
                .iter()
                // The first octet tells most of them apart, and sooner than a comparison of slices.
                .find(|(name, _)| name.first() == key.first() && **name == *key)
        });
        named.map(|(_, place)| *place).or(node.any_member)
    }

    /// The place of an element of the array at `place`.
    pub(crate) fn element(&self, place: Place, index: u32) -> Option<Place> {
        let node = self.node(place)?;
        let mut indexed = node.indexed.iter();
        indexed
            .find(|(number, _)| *number == index)
            .map(|(_, place)| *place)
            .or(node.element)
    }

    /// What stands at `place`.
    pub(crate) fn meanings(&self, place: Place) -> &[Meaning] {
        self.node(place)
            .map(|node| node.meanings.as_slice())
            .unwrap_or_default()
    }

    /// Whether no path leads further than `place`.
    pub(crate) fn is_leaf(&self, place: Place) -> bool {
        self.node(place).is_none_or(|node| {
            node.members.is_empty()
                && node.any_member.is_none()
                && node.indexed.is_empty()
                && node.element.is_none()
        })
    }

    /// Gives each set of branches that can apply to one value together a place of its own.
    fn from_trie(trie: &Trie) -> Option<Self> {
        let mut sets = Sets::default();
        sets.place(BTreeSet::from([TOP]))?;
        let mut nodes = Vec::new();
        while let Some(set) = sets.in_order.get(nodes.len()).cloned() {
            let branches: Vec<&Branches> =
                set.iter().filter_map(|node| trie.branches(*node)).collect();
            nodes.push(Node::of(&branches, &mut sets)?);
        }
        Some(Self { nodes })
    }

    fn node(&self, place: Place) -> Option<&Node> {
        self.nodes.get(usize::from(place.0))
    }
}

/// Adds a path of a family's, in its parts.
fn insert(trie: &mut Trie, parts: &[&str], meaning: Meaning) {
    let steps: Vec<Step> = parts
        .iter()
        .flat_map(|part| path::parse(part).unwrap_or_default())
        .collect();
    debug_assert!(!steps.is_empty(), "{parts:?} is no path");
    trie.insert(&steps, meaning);
}

/// The sets that have a place, in the order of their places.
#[derive(Default)]
struct Sets {
    in_order: Vec<BTreeSet<usize>>,
    places: BTreeMap<BTreeSet<usize>, Place>,
}

impl Sets {
    /// The place of a set; `Some(None)` for the empty one, `None` when there are no more numbers.
    fn place(&mut self, set: BTreeSet<usize>) -> Option<Option<Place>> {
        if set.is_empty() {
            return Some(None);
        }
        if let Some(place) = self.places.get(&set) {
            return Some(Some(*place));
        }
        let place = Place(u16::try_from(self.in_order.len()).ok()?);
        self.in_order.push(set.clone());
        self.places.insert(set, place);
        Some(Some(place))
    }
}

impl Node {
    fn of(branches: &[&Branches], sets: &mut Sets) -> Option<Self> {
        let mut node = Self::default();
        for branch in branches {
            node.meanings.extend(branch.meaning);
            node.meanings.extend(&branch.taught);
        }
        let any: BTreeSet<usize> = branches.iter().filter_map(|b| b.any_member).collect();
        let element: BTreeSet<usize> = branches.iter().filter_map(|b| b.element).collect();
        let mut members: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        let mut indexed: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
        for branch in branches {
            for (name, child) in &branch.members {
                let set = members.entry(name).or_insert_with(|| any.clone());
                set.insert(*child);
            }
            for (index, child) in &branch.indexed {
                let set = indexed.entry(*index).or_insert_with(|| element.clone());
                set.insert(*child);
            }
        }
        for (name, set) in members {
            if node.members.len() <= name.len() {
                node.members.resize(name.len() + 1, Vec::new());
            }
            if let (Some(place), Some(same_length)) =
                (sets.place(set)?, node.members.get_mut(name.len()))
            {
                same_length.push((name.as_bytes().into(), place));
            }
        }
        for (index, set) in indexed {
            let place = sets.place(set)?;
            node.indexed.extend(place.map(|place| (index, place)));
        }
        node.any_member = sets.place(any)?;
        node.element = sets.place(element)?;
        Some(node)
    }
}
