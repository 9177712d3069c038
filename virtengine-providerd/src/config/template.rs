/// The documented default configuration, as `config generate` writes it: every key with its default and the reason for it. It
/// is itself a valid configuration, and reading it gives the defaults.
#[must_use]
pub const fn template() -> &'static str {
    include_str!("template.yaml")
}
