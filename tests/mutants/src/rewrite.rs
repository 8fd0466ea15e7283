//! A tree with all mutants in it, each switched on by its number.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    mutant::{Genre, Id, Mutant, Position},
    syntax::{Bytes, Syntax},
};

/// A place in a file, and the mutants that change it.
struct Site {
    whole: Bytes,
    genre: Genre,
    kind: Kind,
    mutants: Vec<(Id, String)>,
}

enum Kind {
    /// Statements, before which something is given back.
    Body,
    Binary {
        left: Bytes,
        right: Bytes,
    },
    Unary {
        operand: Bytes,
    },
    /// The condition of an arm.
    Guard,
    /// The word that has a function called while compiling, where the mutants in it could not be told
    /// apart.
    Const,
    /// An arm's condition, or where it would be: nothing matches without it.
    Arm,
    Field {
        name: String,
        value: Bytes,
        path: Bytes,
        rest: Bytes,
    },
}

struct File {
    path: PathBuf,
    text: String,
    sites: Vec<Site>,
}

pub struct Tree {
    pub root: PathBuf,
    files: BTreeMap<String, File>,
    pub mutants: BTreeMap<Id, Mutant>,
    alone: Vec<Id>,
    pub surely_unviable: Vec<Id>,
}

/// Where the alternative of a mutant is in what was written.
pub struct Region {
    pub id: Id,
    pub bytes: Bytes,
}

impl Tree {
    pub fn parse(root: &Path, mutants: Vec<(Id, Mutant)>) -> Result<Self, String> {
        let mut tree = Self {
            root: root.to_owned(),
            files: BTreeMap::new(),
            mutants: mutants.into_iter().collect(),
            alone: Vec::new(),
            surely_unviable: Vec::new(),
        };
        let mut by_file: BTreeMap<String, Vec<Id>> = BTreeMap::new();
        for (id, mutant) in &tree.mutants {
            by_file.entry(mutant.file.clone()).or_default().push(*id);
        }
        for (name, ids) in by_file {
            let path = root.join(&name);
            let text = fs::read_to_string(&path).map_err(|error| format!("{name}: {error}"))?;
            let syntax = Syntax::parse(&text).map_err(|error| format!("{name}: {error}"))?;
            let sites = tree.sites(&text, &syntax, &ids);
            tree.files.insert(name, File { path, text, sites });
        }
        let gone: Vec<Id> = tree
            .alone
            .iter()
            .chain(&tree.surely_unviable)
            .copied()
            .collect();
        tree.drop(&gone);
        Ok(tree)
    }

    /// Those that cannot be switched on, so that they have to be built by themselves.
    pub fn alone(&self) -> Vec<Id> {
        self.alone.clone()
    }

    fn sites(&mut self, text: &str, syntax: &Syntax, ids: &[Id]) -> Vec<Site> {
        let lines: Vec<usize> = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        let offset = |position: Position| {
            let line = lines[position.line - 1];
            let column = text[line..].char_indices().nth(position.column - 1);
            line + column.map_or(text.len() - line, |(at, _)| at)
        };
        let mut sites: HashMap<(usize, Genre), Site> = HashMap::new();
        for id in ids {
            let mutant = &self.mutants[id];
            let span = offset(mutant.span.start)..offset(mutant.span.end);
            let is_constant = syntax
                .constants
                .iter()
                .any(|constant| constant.start <= span.start && span.end <= constant.end);
            let found = if is_constant {
                None
            } else {
                find(syntax, mutant.genre, &span)
            };
            match found {
                Some(Found::Site(whole, kind)) => sites
                    .entry((span.start, mutant.genre))
                    .or_insert_with(|| Site {
                        whole,
                        genre: mutant.genre,
                        kind,
                        mutants: Vec::new(),
                    })
                    .mutants
                    .push((*id, mutant.replacement.clone())),
                Some(Found::Unviable) => self.surely_unviable.push(*id),
                None => self.alone.push(*id),
            }
        }
        let mut sites: Vec<Site> = sites.into_values().collect();
        for function in &syntax.const_fns {
            let within = sites.iter().filter(|site| {
                function.whole.start <= site.whole.start && site.whole.end <= function.whole.end
            });
            let mutants: Vec<_> = within.flat_map(|site| site.mutants.clone()).collect();
            if !mutants.is_empty() {
                sites.push(Site {
                    whole: function.keyword.clone(),
                    genre: Genre::FnValue,
                    kind: Kind::Const,
                    mutants,
                });
            }
        }
        sites.sort_by_key(|site| {
            (
                site.whole.start,
                std::cmp::Reverse(site.whole.end),
                site.genre,
            )
        });
        sites
    }

    pub fn drop(&mut self, ids: &[Id]) {
        let ids: BTreeSet<Id> = ids.iter().copied().collect();
        self.mutants.retain(|id, _| !ids.contains(id));
        for file in self.files.values_mut() {
            for site in &mut file.sites {
                site.mutants.retain(|(id, _)| !ids.contains(id));
            }
            file.sites.retain(|site| !site.mutants.is_empty());
        }
    }

    /// The number by which the place of each mutant is called.
    pub fn places(&self) -> HashMap<Id, Id> {
        let sites = self.files.values().flat_map(|file| &file.sites);
        sites
            .filter(|site| !matches!(site.kind, Kind::Const))
            .flat_map(|site| site.mutants.iter().map(|(id, _)| (*id, site.place())))
            .collect()
    }

    pub fn write(&self) -> Result<(), String> {
        for file in self.files.values() {
            write(
                &file.path,
                &render(&file.text, &file.sites, 0..file.text.len()),
            )?;
        }
        let lib = self.root.join("src/lib.rs");
        let text = match self.files.get("src/lib.rs") {
            Some(file) => file.text.clone(),
            None => fs::read_to_string(&lib).map_err(|error| error.to_string())?,
        };
        let switch = include_str!("switch.rs");
        if !text.ends_with(switch) {
            write(&lib, &format!("{text}{switch}"))?;
        }
        Ok(())
    }

    pub fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// In the order of the file as it was written.
    pub fn regions(&self, name: &str) -> Vec<Region> {
        let Some(file) = self.files.get(name) else {
            return Vec::new();
        };
        let text = render(&file.text, &file.sites, 0..file.text.len());
        text.match_indices("/*<")
            .filter_map(|(at, _)| {
                let id: Id = text[at + 3..].split('*').next()?.parse().ok()?;
                let length = text[at..].find(&format!("/*{id}>*/"))?;
                Some(Region {
                    id,
                    bytes: at..at + length,
                })
            })
            .collect()
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    // What did not change is not compiled again.
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

enum Found {
    Site(Bytes, Kind),
    Unviable,
}

fn find(syntax: &Syntax, genre: Genre, span: &Bytes) -> Option<Found> {
    Some(match genre {
        Genre::FnValue => Found::Site(span.clone(), Kind::Body),
        Genre::BinaryOperator => {
            let binary = syntax.binaries.get(&span.start)?;
            if binary.has_let {
                return Some(Found::Unviable);
            }
            let (left, right) = (binary.left.clone(), binary.right.clone());
            Found::Site(binary.whole.clone(), Kind::Binary { left, right })
        }
        Genre::UnaryOperator => {
            let unary = syntax.unaries.get(&span.start)?;
            let operand = unary.operand.clone();
            Found::Site(unary.whole.clone(), Kind::Unary { operand })
        }
        Genre::MatchArmGuard => Found::Site(span.clone(), Kind::Guard),
        Genre::MatchArm => {
            let arm = syntax.arms.get(&span.start)?;
            let guard = arm.guard.clone();
            Found::Site(guard.unwrap_or(arm.pattern_end..arm.pattern_end), Kind::Arm)
        }
        Genre::StructField => {
            let field = syntax.fields.get(&span.start)?;
            let kind = Kind::Field {
                name: field.name.clone(),
                value: field.value.clone(),
                path: field.path.clone(),
                rest: field.rest.clone(),
            };
            Found::Site(field.whole.clone(), kind)
        }
    })
}

/// The part of a file, with the sites in it, which are all those from the first that may be.
fn render(text: &str, sites: &[Site], part: Bytes) -> String {
    let (mut out, mut at) = (String::new(), part.start);
    for (index, site) in sites.iter().enumerate() {
        if site.whole.start < at || site.whole.end > part.end {
            continue;
        }
        out.push_str(&text[at..site.whole.start]);
        site.render(&mut out, text, &sites[index + 1..]);
        at = site.whole.end;
    }
    out.push_str(&text[at..part.end]);
    out
}

impl Site {
    fn place(&self) -> Id {
        self.mutants[0].0
    }

    /// `inner` are the sites that may lie within this one.
    fn render(&self, out: &mut String, text: &str, inner: &[Self]) {
        let place = self.place();
        // Only one is switched on at a time: within an alternative nothing else is.
        let alternatives = |write: &dyn Fn(&str) -> String| {
            let mut arms = String::new();
            for (id, replacement) in &self.mutants {
                let _ = write!(arms, "/*<{id}*/{id} => {},/*{id}>*/ ", write(replacement));
            }
            arms
        };
        let part = |bytes: &Bytes| render(text, inner, bytes.clone());
        let plain = |bytes: &Bytes| &text[bytes.clone()];
        let _ = match &self.kind {
            Kind::Body => {
                let arms = alternatives(&|value| format!("return {value}"));
                write!(
                    out,
                    "match crate::__mutant({place}) {{ {arms}_ => {{}} }} {}",
                    part(&self.whole)
                )
            }
            Kind::Binary { left, right } => {
                let arms = alternatives(&|operator| {
                    format!("(({}) {operator} ({}))", plain(left), plain(right))
                });
                let operator = &text[left.end..right.start];
                let usual = format!("(({}) {operator} ({}))", part(left), part(right));
                write!(
                    out,
                    "(match crate::__mutant({place}) {{ {arms}_ => {usual} }})"
                )
            }
            Kind::Unary { operand } => {
                let arms = alternatives(&|_| format!("({})", plain(operand)));
                let operator = &text[self.whole.start..operand.start];
                let usual = format!("({operator}({}))", part(operand));
                write!(
                    out,
                    "(match crate::__mutant({place}) {{ {arms}_ => {usual} }})"
                )
            }
            Kind::Const => Ok(()),
            Kind::Guard => {
                let arms = alternatives(&str::to_owned);
                let usual = part(&self.whole);
                write!(
                    out,
                    "(match crate::__mutant({place}) {{ {arms}_ => {usual} }})"
                )
            }
            Kind::Arm => {
                let condition =
                    format!("/*<{place}*/crate::__mutant({place}) != {place}/*{place}>*/");
                if self.whole.is_empty() {
                    write!(out, " if {condition}")
                } else {
                    write!(out, "{condition} && ({})", part(&self.whole))
                }
            }
            Kind::Field {
                name,
                value,
                path,
                rest,
            } => {
                let (path, rest) = (plain(path), plain(rest));
                let arms =
                    alternatives(&|_| format!("{{ let rest: {path} = {rest}; rest.{name} }}"));
                let value = part(value);
                write!(
                    out,
                    "{name}: match crate::__mutant({place}) {{ {arms}_ => {value} }}"
                )
            }
        };
    }
}
