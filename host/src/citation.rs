//! Turns the sources that components state into BibTeX.
//!
//! A source is a line such as `Maslov and Sneppen 2002, Science 296:910; Rubinov and Sporns
//! 2010, NeuroImage 52:1059`: authors and year, then a journal with volume and page, an
//! arXiv number, or anything else, which becomes a note. Works in `references.bib` are
//! printed from there; an entry for any other work has what the source states.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Entries of the works that Pallium's own components and documentation cite.
const CURATED: &str = include_str!("references.bib");

/// What a component states that has no source but Pallium.
const OWN: &str = "this work";

/// A work that is cited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Authors as they are listed.
    pub authors: Vec<String>,
    /// Whether there are more authors.
    pub others: bool,
    /// The year.
    pub year: u16,
    /// Journal, volume and page.
    pub journal: Option<[String; 3]>,
    /// Number of an arXiv preprint.
    pub arxiv: Option<String>,
    /// What else is said of the place.
    pub note: String,
}

/// The works in the source of a component, and the texts that are not understood.
pub fn references(source: &str) -> (Vec<Reference>, Vec<String>) {
    let mut found = Vec::new();
    let mut others = Vec::new();
    for part in source.split(';').map(str::trim).filter(|part| !part.is_empty() && *part != OWN) {
        match reference(part) {
            Some(one) => found.push(one),
            None => others.push(part.to_owned()),
        }
    }
    (found, others)
}

fn reference(text: &str) -> Option<Reference> {
    let (begin, year) = text.char_indices().find_map(|(at, _)| {
        let year: u16 = text.get(at..at + 4)?.parse().ok().filter(|year| (1600..2100).contains(year))?;
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit() || c == '.');
        let inside = digit(text[..at].chars().next_back()) || digit(text[at + 4..].chars().next());
        (!inside).then_some((at, year))
    })?;
    // What the work is cited for comes before a colon.
    let before = text[..begin].trim();
    let before = before.rsplit(": ").next().unwrap_or(before);
    let before = before.strip_prefix("as in ").unwrap_or(before);
    let (names, others) = match before.strip_suffix("et al.") {
        Some(names) => (names, true),
        None => (before, false),
    };
    let authors: Vec<String> = names
        .split([',', '&'])
        .flat_map(|part| part.split(" and "))
        .map(|name| name.trim().trim_start_matches("and ").to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    if authors.is_empty() {
        return None;
    }
    let rest = text[begin + 4..].trim_matches([',', ' ']);
    let rest = match rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inside) => inside,
        None => rest,
    };
    let mut one = Reference { authors, others, year, journal: None, arxiv: None, note: String::new() };
    let mut notes = Vec::new();
    for piece in rest.split(", ").map(|piece| piece.trim_matches(['(', ')', ' '])).filter(|p| !p.is_empty()) {
        if let Some(number) = piece.strip_prefix("arXiv ").or_else(|| piece.strip_prefix("arXiv:")) {
            one.arxiv = Some(number.to_owned());
        } else if let Some(journal) = journal(piece).filter(|_| one.journal.is_none()) {
            one.journal = Some(journal);
        } else {
            notes.push(piece);
        }
    }
    one.note = notes.join(", ");
    Some(one)
}

/// `Phys. Rev. E 67:026126` as journal, volume and page.
fn journal(text: &str) -> Option<[String; 3]> {
    let (name, place) = text.rsplit_once(' ')?;
    let (volume, page) = place.split_once(':')?;
    let numbers = |text: &str| {
        text.chars().any(|c| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    (numbers(volume) && numbers(page)).then(|| [name, volume, page].map(str::to_owned))
}

/// A work of `references.bib`.
struct Curated {
    key: &'static str,
    entry: &'static str,
    work: Reference,
}

static BIBLIOGRAPHY: LazyLock<Vec<Curated>> = LazyLock::new(|| {
    let entries = CURATED.split("\n\n").map(str::trim).filter(|entry| entry.starts_with('@'));
    entries.filter_map(curated).collect()
});

fn curated(entry: &'static str) -> Option<Curated> {
    let (key, _) = entry.split_once('{')?.1.split_once(',')?;
    let field = |name: &str| {
        let mut fields = entry.lines().filter_map(|line| line.trim().split_once(" = {"));
        fields.find(|(field, _)| *field == name)?.1.strip_suffix("},")
    };
    let surname = |name: &str| {
        let surname = name.split_once(", ").map_or(name, |(surname, _)| surname);
        surname.trim_matches(['{', '}']).trim_start_matches("The ").to_owned()
    };
    let names = field("author")?;
    let (names, others) = names.strip_suffix(" and others").map_or((names, false), |names| (names, true));
    let place = field("volume").zip(field("pages")).map(|(volume, pages)| {
        let first = pages.split("--").next().unwrap_or(pages);
        [field("journal").unwrap_or_default(), volume, first].map(str::to_owned)
    });
    let work = Reference {
        authors: names.split(" and ").map(surname).collect(),
        others,
        year: field("year")?.parse().ok()?,
        journal: place,
        arxiv: field("eprint").map(str::to_owned),
        note: String::new(),
    };
    Some(Curated { key, entry, work })
}

impl Reference {
    /// How much of the place is known.
    fn completeness(&self) -> usize {
        4 * usize::from(self.journal.is_some())
            + 2 * usize::from(self.arxiv.is_some())
            + usize::from(!self.note.is_empty())
    }

    /// Whether two references are of one work, of which one may name fewer authors or no
    /// place.
    fn is_same_work(&self, other: &Self) -> bool {
        let fewer = self.authors.len().min(other.authors.len());
        let mut pairs = self.authors.iter().zip(&other.authors);
        let agree = fewer > 0
            && pairs.all(|(one, other)| folded(one) == folded(other))
            && (self.authors.len() == other.authors.len() || self.others || other.others);
        let places = self.journal.is_none()
            || other.journal.is_none()
            || self.journal.as_ref().map(|[_, volume, page]| [volume, page])
                == other.journal.as_ref().map(|[_, volume, page]| [volume, page]);
        let preprints = self.arxiv.is_none() || other.arxiv.is_none() || self.arxiv == other.arxiv;
        self.year == other.year && agree && places && preprints
    }

    fn key(&self) -> String {
        let first = self.authors.first().map(String::as_str).unwrap_or_default();
        format!("{}{}", folded(first), self.year)
    }

    /// The entry under `key`.
    fn bibtex(&self, key: &str) -> String {
        let mut authors = self.authors.iter().map(|name| braced(name)).collect::<Vec<_>>();
        if self.others {
            authors.push("others".into());
        }
        let mut fields = vec![("author", authors.join(" and ")), ("year", self.year.to_string())];
        if let Some([name, volume, page]) = &self.journal {
            fields.extend([("journal", escaped(name)), ("volume", volume.clone()), ("pages", page.clone())]);
        }
        if let Some(number) = &self.arxiv {
            fields.extend([("eprint", number.clone()), ("archiveprefix", "arXiv".into())]);
        }
        if !self.note.is_empty() {
            fields.push(("note", escaped(&self.note)));
        }
        let kind = if self.journal.is_some() { "article" } else { "misc" };
        entry(kind, key, &fields)
    }
}

/// An entry of BibTeX.
pub fn entry(kind: &str, key: &str, fields: &[(&str, String)]) -> String {
    let fields: String = fields.iter().map(|(name, value)| format!("  {name} = {{{value}}},\n")).collect();
    format!("@{kind}{{{key},\n{fields}}}\n")
}

/// A name in lower case, without accents and spaces.
fn folded(name: &str) -> String {
    name.to_lowercase().chars().filter_map(plain).collect()
}

/// The letter without its accent, of those that occur in names.
fn plain(c: char) -> Option<char> {
    let of = [
        ('a', "áàâäãå"),
        ('c', "çčć"),
        ('e', "éèêë"),
        ('i', "íìîï"),
        ('n', "ñ"),
        ('o', "óòôöõøő"),
        ('s', "šś"),
        ('u', "úùûüű"),
        ('z', "žź"),
    ];
    match c {
        c if c.is_ascii_alphanumeric() => Some(c),
        c => of.iter().find(|(_, accented)| accented.contains(c)).map(|(plain, _)| *plain),
    }
}

/// A name of several words is one name.
fn braced(name: &str) -> String {
    if name.contains(' ') { format!("{{{}}}", escaped(name)) } else { escaped(name) }
}

fn escaped(text: &str) -> String {
    text.replace('&', "\\&").replace('%', "\\%").replace('_', "\\_").replace('#', "\\#")
}

/// The works that components cite, each once with the components that cite it, as
/// BibTeX, and the sources that are not understood.
pub fn bibliography<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> (String, Vec<String>) {
    let mut curated: BTreeMap<&str, (&str, Vec<&str>)> = BTreeMap::new();
    let mut works: Vec<(Reference, Vec<&str>)> = Vec::new();
    let mut unknown = Vec::new();
    for (id, source) in sources {
        let mut cite = |known: &'static Curated| {
            curated.entry(known.key).or_insert_with(|| (known.entry, Vec::new())).1.push(id);
        };
        let (found, others) = references(source);
        for text in others {
            let mentioned = |known: &&Curated| known.work.arxiv.as_ref().is_some_and(|id| text.contains(id));
            match BIBLIOGRAPHY.iter().find(mentioned) {
                Some(known) => cite(known),
                None => unknown.push(format!("{id}: {text}")),
            }
        }
        for one in found {
            if let Some(known) = BIBLIOGRAPHY.iter().find(|known| known.work.is_same_work(&one)) {
                cite(known);
                continue;
            }
            match works.iter_mut().find(|(known, _)| known.is_same_work(&one)) {
                Some((known, ids)) => {
                    if one.completeness() > known.completeness() {
                        let authors = if known.others { &one.authors } else { &known.authors };
                        let (authors, others) = (authors.clone(), known.others && one.others);
                        *known = Reference { authors, others, ..one };
                    } else if known.others && !one.others {
                        (known.authors, known.others) = (one.authors, false);
                    }
                    ids.push(id);
                }
                None => works.push((one, vec![id])),
            }
        }
    }
    // A key means the same work in every run: other works do not take those of the file.
    let mut keys: BTreeMap<String, u8> = BIBLIOGRAPHY.iter().map(|known| (known.key.into(), 0)).collect();
    let mut entries: BTreeMap<String, (String, Vec<&str>)> =
        curated.into_iter().map(|(key, (entry, ids))| (key.into(), (format!("{entry}\n"), ids))).collect();
    works.sort_by_key(|(work, _)| work.key());
    for (work, ids) in works {
        let count = keys.entry(work.key()).and_modify(|count| *count += 1).or_insert(0);
        let suffix = if *count == 0 { String::new() } else { char::from(b'a' + *count).to_string() };
        let key = work.key() + &suffix;
        let entry = work.bibtex(&key);
        entries.insert(key, (entry, ids));
    }
    let mut text = String::new();
    for (entry, mut ids) in entries.into_values() {
        ids.dedup();
        text += &format!("% {}\n{entry}\n", ids.join(", "));
    }
    (text, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Reference {
        let (mut found, unknown) = references(text);
        assert!(found.len() == 1 && unknown.is_empty(), "{found:?} {unknown:?}");
        found.pop().unwrap()
    }

    #[test]
    fn authors_year_and_place_are_read() {
        let work = one("Newman 2003, Phys. Rev. E 67:026126");
        assert_eq!((work.authors, work.year), (vec!["Newman".to_owned()], 2003));
        assert_eq!(work.journal.unwrap(), ["Phys. Rev. E", "67", "026126"]);
        let work = one("Shakiba, Rokni, Mohammadi and Dehghani 2026 (arXiv 2606.14975)");
        assert_eq!((work.authors.len(), work.arxiv.as_deref()), (4, Some("2606.14975")));
        let work = one("as in Shakiba et al. 2026, arXiv 2606.14975, Task 3");
        assert_eq!((work.authors.len(), work.others, work.note.as_str()), (1, true, "Task 3"));
        let work = one("directed: Foster, Foster, Grassberger, Paczuski 2010, PNAS 107:10815");
        assert_eq!(work.authors, ["Foster", "Foster", "Grassberger", "Paczuski"]);
        let work = one("Molano-Mazón et al. 2022 (NeuroGym 2.2.0, yang19.go)");
        assert_eq!(work.note, "NeuroGym 2.2.0, yang19.go");
        let work = one("MICrONS Consortium 2025");
        assert_eq!((work.authors, work.note.as_str()), (vec!["MICrONS Consortium".to_owned()], ""));
        assert_eq!(references("this work"), (vec![], vec![]));
        assert_eq!(references("our lab, unpublished"), (vec![], vec!["our lab, unpublished".to_owned()]));
    }

    #[test]
    fn each_work_has_one_entry() {
        let sources = [
            ("a.b", "Nobody and Someone 2002; Newman 2002, Phys. Rev. Lett. 89:208701"),
            ("c.d", "Nobody and Someone 2002, Journal 296:910; this work"),
            ("e.f", "Newman 2002, Phys. Rev. E 66:1; Erdős and Ulam 1959; mine"),
        ];
        let (text, unknown) = bibliography(sources);
        assert_eq!(unknown, ["e.f: mine"]);
        let expected = "\
% e.f
@misc{erdos1959b,
  author = {Erdős and Ulam},
  year = {1959},
}

% a.b
@article{newman2002,
  author = {Newman, M. E. J.},
  title = {Assortative mixing in networks},
  journal = {Physical Review Letters},
  volume = {89},
  pages = {208701},
  year = {2002},
  doi = {10.1103/PhysRevLett.89.208701},
}

% e.f
@article{newman2002b,
  author = {Newman},
  year = {2002},
  journal = {Phys. Rev. E},
  volume = {66},
  pages = {1},
}

% a.b, c.d
@article{nobody2002,
  author = {Nobody and Someone},
  year = {2002},
  journal = {Journal},
  volume = {296},
  pages = {910},
}

";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_curated_work_is_found_by_any_of_its_citations() {
        for source in [
            "Shakiba, Rokni, Mohammadi, Dehghani 2026, arXiv 2606.14975, Table 3",
            "as in Shakiba et al. 2026, arXiv 2606.14975, Task 2",
            "statistics of the fields released with arXiv 2606.14975",
        ] {
            let (text, unknown) = bibliography([("a.b", source)]);
            assert!(text.contains("title = {Harnessing cortical geometry") && unknown.is_empty(), "{text}");
            assert!(!text.contains("note"), "{text}");
        }
        let (text, _) = bibliography([("a.b", "Misic et al. 2015; MICrONS Consortium 2025, DANDI 000402")]);
        assert!(text.contains("{Mišić, Bratislav") && text.contains("{{The MICrONS Consortium}}"), "{text}");
    }

    #[test]
    fn curated_entries_are_complete_and_in_order() {
        let keys: Vec<&str> = BIBLIOGRAPHY.iter().map(|known| known.key).collect();
        assert_eq!(keys.len(), CURATED.matches("\n@").count(), "an entry cannot be read");
        assert!(keys.is_sorted_by(|one, next| one < next), "{keys:?}");
        for Curated { key, entry, work } in BIBLIOGRAPHY.iter() {
            assert_eq!(*key, work.key());
            let has = |name: &str| entry.contains(&format!("\n  {name} = {{"));
            let place = ["journal", "booktitle", "publisher", "institution", "howpublished", "eprint"];
            assert!(has("title") && place.into_iter().any(has), "{entry}");
            assert_eq!(entry.matches('{').count(), entry.matches('}').count(), "{entry}");
        }
    }

    #[test]
    fn works_that_pallium_cites_are_curated() {
        let documented = include_str!("../../docs/components.md").lines();
        let sources: Vec<&str> = documented
            .filter_map(|line| Some(line.strip_prefix("Source: ")?.rsplit_once(". Plugin: ")?.0))
            .collect();
        assert!(sources.len() > 100, "{}", sources.len());
        for source in sources {
            let (text, unknown) = bibliography([("a.b", source)]);
            let entries = text.matches("\n@").count();
            assert_eq!(text.matches("\n  title = {").count(), entries, "references.bib lacks a work: {text}");
            assert!(unknown.iter().all(|text| text.contains("https://")), "{unknown:?}");
        }
    }
}
