//! Subjects that are neighbours in a table: one alone, or all with the same first tokens.

use hitherto_protocol::SubjectFilter;

use super::shape::Shape;

/// Subjects that are neighbours in order of their bytes.
#[derive(Debug, Clone)]
pub(super) struct SubjectRange {
    /// The one subject, or what all of them begin with, a dot at its end; empty for all subjects.
    lower: String,
    is_one: bool,
}

impl SubjectRange {
    /// One subject.
    pub(super) fn one(subject: &str) -> Self {
        Self {
            lower: subject.to_owned(),
            is_one: true,
        }
    }

    /// All subjects.
    pub(super) fn all() -> Self {
        Self {
            lower: String::new(),
            is_one: false,
        }
    }

    /// The subjects that begin with the tokens of a filter before its first wildcard. All that the filter selects
    /// are among them, and nothing else when it has no `*`.
    pub(super) fn of(filter: &SubjectFilter) -> Self {
        if filter.is_literal() {
            return Self::one(filter.as_str());
        }
        let literal = filter
            .tokens()
            .take_while(|token| !matches!(*token, "*" | ">"));
        let len = literal.map(|token| token.len() + 1).sum::<usize>();
        Self {
            lower: filter.as_str()[..len].to_owned(),
            is_one: false,
        }
    }

    pub(super) fn lower(&self) -> &str {
        &self.lower
    }

    pub(super) fn contains(&self, subject: &str) -> bool {
        match self.is_one {
            true => subject == self.lower,
            false => subject.starts_with(&self.lower),
        }
    }

    /// Tells whether all subjects of another range are in this one. Two of which neither includes the other have no
    /// subject in common.
    pub(super) fn includes(&self, other: &Self) -> bool {
        match self.is_one {
            true => other.is_one && other.lower == self.lower,
            false => other.lower.starts_with(&self.lower),
        }
    }

    /// Tells whether `subject` is in the range or before it.
    pub(super) fn reaches(&self, subject: &str) -> bool {
        subject <= self.lower.as_str() || self.contains(subject)
    }

    /// Tells whether no subject is behind the range.
    pub(super) fn is_open(&self) -> bool {
        self.lower.is_empty() && !self.is_one
    }

    /// Tells whether a table may have a subject of the range.
    pub(super) fn may_be_in(&self, shape: &Shape) -> bool {
        self.is_open() || shape.may_have(&self.lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(filter: &str) -> SubjectRange {
        SubjectRange::of(&SubjectFilter::new(filter.to_owned()).unwrap())
    }

    #[test]
    fn a_filter_looks_among_the_subjects_it_begins_with() {
        let order = [
            "a", "a-b", "a.b", "a.b-c", "a.b.c", "a.b.d.e", "a.b0", "a.c", "b",
        ];
        assert!(order.is_sorted());
        for (filter, lower, contained) in [
            ("a.b.>", "a.b.", vec!["a.b.c", "a.b.d.e"]),
            ("a.b.*.e", "a.b.", vec!["a.b.c", "a.b.d.e"]),
            (
                "a.*",
                "a.",
                vec!["a.b", "a.b-c", "a.b.c", "a.b.d.e", "a.b0", "a.c"],
            ),
            ("a.b", "a.b", vec!["a.b"]),
            (">", "", order.to_vec()),
            ("*.b", "", order.to_vec()),
        ] {
            let range = range(filter);
            assert_eq!(range.lower(), lower);
            let found = order.iter().filter(|subject| range.contains(subject));
            assert_eq!(found.copied().collect::<Vec<_>>(), contained, "{filter}");
            let upto = order.iter().take_while(|subject| range.reaches(subject));
            let last = *contained.last().unwrap();
            assert_eq!(upto.last(), Some(&last), "{filter}");
        }
        assert!(range(">").is_open() && !range("a.>").is_open());
        assert!(range("*").includes(&range("a")) && range("a.*.c").includes(&range("a.b.>")));
        assert!(range("a.b").includes(&range("a.b")) && !range("a.b").includes(&range("a.b.>")));
        assert!(!range("a.b.>").includes(&range("a.b")) && !range("a").includes(&range("*")));
    }
}
