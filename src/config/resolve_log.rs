//! Logging settings of proxies, resolved: targets, and formats parsed for the mode that the proxy has.

use std::rc::Rc;

use super::draft::{At, Format as Chosen, ProxyDraft};
use super::resolve::Resolver;
use super::word::Word;
use crate::log::{Format, LogLine, LogSettings, LogTarget, Purpose};
use crate::proxy::Mode;
use crate::rules::parse;
use crate::sample::arg::{Names, Reference};
use crate::sample::{Place, Scope};

/// The targets that the global section's lines name.
pub(super) fn global_targets(lines: &[LogLine]) -> Vec<LogTarget> {
    targets(lines, &[])
}

/// The targets of a proxy's lines; `log global` stands for `global`.
pub(super) fn targets(lines: &[LogLine], global: &[LogTarget]) -> Vec<LogTarget> {
    let mut targets = Vec::new();
    for line in lines {
        match line {
            LogLine::Target(target) => targets.push((**target).clone()),
            LogLine::Global => targets.extend_from_slice(global),
            LogLine::Forget => targets.clear(),
        }
    }
    targets
}

/// Where and how a proxy logs. Formats count on the client side only.
pub(super) fn settings(resolver: &mut Resolver<'_>, proxy: &ProxyDraft, names: &Names) -> LogSettings {
    let written = &proxy.settings;
    let flags = &written.flags;
    let mut settings = LogSettings {
        targets: targets(&written.logs, &resolver.config.global.log_targets),
        tag: written.log_tag.clone(),
        dontlognull: flags.dontlognull,
        dontlog_normal: flags.dontlog_normal,
        separate_errors: flags.log_separate_errors,
        logasap: flags.logasap,
        ..LogSettings::default()
    };
    if proxy.kind.is_frontend() {
        settings.format = match &written.format {
            Chosen::Default => Format::default(),
            // HTTP formats need HTTP; `check` has said so.
            Chosen::Tcp(_) => Format::preset(Format::TCP),
            Chosen::Http(_) | Chosen::Clf(_) if written.mode == Mode::Tcp => Format::preset(Format::TCP),
            Chosen::Http(_) => Format::preset(Format::HTTP),
            Chosen::Clf(_) => Format::preset(Format::HTTP_CLF),
            Chosen::Custom(word, at) => {
                custom(resolver, proxy, names, "log-format", word, Some(at)).unwrap_or_default()
            }
        };
        // HAProxy does not say where the line of the structured data stands.
        let sd = written.format_sd.as_ref();
        settings.structured_data = sd.and_then(|(word, _)| custom(resolver, proxy, names, "log-format-sd", word, None));
        let errors = written.error_format.as_ref();
        settings.error_format =
            errors.and_then(|(word, at)| custom(resolver, proxy, names, "error-log-format", word, Some(at)));
    }
    settings
}

fn custom(
    resolver: &mut Resolver<'_>,
    proxy: &ProxyDraft,
    names: &Names,
    keyword: &str,
    word: &Word,
    at: Option<&At>,
) -> Option<Format> {
    let (file, line) = at.map_or_else(|| (Rc::from("(null)"), 0), |at| (Rc::clone(&at.file), at.line));
    let mut scope = Scope::new(Place::Log.only(), Rc::clone(&file), line);
    parsed(resolver, proxy, names, keyword, word, Purpose::Log, &mut scope)
}

/// The format of identifiers (`unique-id-format`).
pub(super) fn unique_id(resolver: &mut Resolver<'_>, proxy: &ProxyDraft, names: &Names) -> Option<Format> {
    let (word, at) = proxy.settings.unique_id_format.as_ref()?;
    let mut scope = Scope::new(Place::FrontRequest.only(), Rc::clone(&at.file), at.line);
    parsed(resolver, proxy, names, "unique-id", word, Purpose::UniqueId, &mut scope)
}

fn parsed(
    resolver: &mut Resolver<'_>,
    proxy: &ProxyDraft,
    names: &Names,
    keyword: &str,
    word: &Word,
    purpose: Purpose,
    scope: &mut Scope,
) -> Option<Format> {
    match Format::parse(&word.text, purpose, proxy.settings.mode, scope) {
        Ok(format) => {
            parse::resolve(&scope.references, names, &proxy.name, resolver.findings);
            resolver.config.named_servers.extend(scope.references.iter().filter_map(Reference::server));
            Some(format)
        }
        Err(error) => {
            let (file, line) = (&scope.file, scope.line);
            resolver.bad_format = true;
            resolver.findings.alert(format!("Parsing [{file}:{line}]: failed to parse {keyword} : {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load_text;
    use crate::log::Moment;
    use crate::proxy::Config;

    const HEAD: &str = "defaults\n timeout client 1s\n timeout server 1s\n timeout connect 1s\n mode http\n";

    fn load(global: &str, frontend: &str) -> Result<Config, Vec<String>> {
        let text = format!(
            "global\n {global}\n{HEAD}frontend fe\n bind 127.0.0.1:39111\n default_backend be\n {frontend}\nbackend be\n"
        );
        let loaded = load_text("c.cfg", &text);
        let messages = || loaded.findings.iter().map(|finding| finding.message()).collect();
        loaded.config.ok_or_else(messages)
    }

    fn alert(frontend: &str) -> String {
        load("", frontend).err().unwrap_or_default().remove(0)
    }

    #[test]
    fn a_proxy_logs_to_its_own_and_the_global_targets() {
        let config = load(
            "log 127.0.0.1 local0\n log stdout daemon\n log-tag t\n log-send-hostname h x",
            "log 127.0.0.1:1 local1\n log global\n option httplog\n option dontlognull\n option logasap\n log-tag own",
        )
        .expect("valid");
        assert_eq!(config.global.log_targets.len(), 2);
        assert_eq!(config.global.log_send_hostname, Some(Some("h".to_owned())));
        let log = &config.frontends[0].log;
        assert_eq!((log.targets.len(), log.tag.as_deref()), (3, Some("own")));
        assert!(log.dontlognull && log.logasap && !log.dontlog_normal);
        assert_eq!((log.format.moment(), log.moment()), (Moment::End, Moment::Answer));
        assert!(config.backends[0].log.targets.is_empty());
    }

    #[test]
    fn no_log_forgets_what_came_before() {
        let config = load("log 127.0.0.1 local0", "log global\n no log\n log stderr daemon").expect("valid");
        assert_eq!(config.frontends[0].log.targets.len(), 1);
    }

    /// Words of haproxy 2.6 with the same configuration.
    #[test]
    fn mistakes_name_the_line_of_the_format() {
        let log = "log 127.0.0.1 local0\n ";
        for (line, expected) in [
            (
                "log-format %zz",
                "config : Parsing [c.cfg:12]: failed to parse log-format : no such format variable 'zz'. If you \
                 wanted to emit the '%' character verbatim, you need to use '%%'.",
            ),
            (
                "log-format-sd %",
                "config : Parsing [(null):0]: failed to parse log-format-sd : truncated line after '%'.",
            ),
            (
                "mode tcp\n log-format %HM",
                "config : Parsing [c.cfg:13]: failed to parse log-format : format variable 'HM' is reserved for \
                 HTTP mode.",
            ),
            (
                "log-format %[path]",
                "config : Parsing [c.cfg:12]: failed to parse log-format : sample fetch <path]> may not be reliably \
                 used here because it needs 'HTTP request headers' which is not available here.",
            ),
            (
                "log-format %[be_conn(nope)]",
                "config : parsing [c.cfg:12]: unable to find backend 'nope' referenced in arg 1 of sample fetch \
                 keyword 'be_conn' in log-format string in proxy 'fe'.",
            ),
            ("log-format", "config : parsing [c.cfg:12] : log-format expects an argument."),
            (
                "log-format-sd a b",
                "config : parsing [c.cfg:12] : log-format-sd expects only one argument, don't forget to escape spaces!",
            ),
            ("log 127.0.0.1 local8", "config : parsing [c.cfg:12] : log : unknown log facility 'local8'"),
        ] {
            assert_eq!(alert(&format!("{log}{line}")), expected);
        }
    }
}
