//! The API's versions.

/// The version segment of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// `beta`, which runs cmdlets.
    Beta,
    /// `v0.5`
    V0_5,
    /// `v1.0`
    V1_0,
    /// `v2.0`: the official API, with a path of its own per resource.
    V2_0,
}

impl Version {
    const ALL: [Self; 4] = [Self::Beta, Self::V0_5, Self::V1_0, Self::V2_0];

    /// The version that `text` names, in any case.
    pub(super) fn read(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|it| it.as_str().eq_ignore_ascii_case(text))
    }

    /// As it is written.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Beta => "beta",
            Self::V0_5 => "v0.5",
            Self::V1_0 => "v1.0",
            Self::V2_0 => "v2.0",
        }
    }
}
