//! What is asked for, by the subject of the request.

use hitherto_protocol::SubjectFilter;

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// A document about the server.
    Server(ServerDocument),
    /// A document about an account, named by a token of the subject.
    Account(AccountDocument),
    /// The same about the account of whoever asks.
    OwnAccount(AccountDocument),
    /// Who asks.
    UserInfo,
    /// End a connection.
    Kick,
    /// Tell a client to go elsewhere.
    SendAway,
    /// Read the configuration again.
    Reload,
}

/// What a server tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerDocument {
    Idz,
    Statsz,
    Varz,
    Subsz,
    Connz,
    Routez,
    Gatewayz,
    Leafz,
    Accountz,
    Jsz,
    Healthz,
    Raftz,
}

/// What it tells about an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccountDocument {
    Subsz,
    Connz,
    Leafz,
    Jsz,
    Info,
    Statz,
    Conns,
}

const SERVER_DOCUMENTS: &[(&str, ServerDocument)] = &[
    ("IDZ", ServerDocument::Idz),
    ("STATSZ", ServerDocument::Statsz),
    ("VARZ", ServerDocument::Varz),
    ("SUBSZ", ServerDocument::Subsz),
    ("CONNZ", ServerDocument::Connz),
    ("ROUTEZ", ServerDocument::Routez),
    ("GATEWAYZ", ServerDocument::Gatewayz),
    ("LEAFZ", ServerDocument::Leafz),
    ("ACCOUNTZ", ServerDocument::Accountz),
    ("JSZ", ServerDocument::Jsz),
    ("HEALTHZ", ServerDocument::Healthz),
    ("RAFTZ", ServerDocument::Raftz),
];

const ACCOUNT_DOCUMENTS: &[(&str, AccountDocument)] = &[
    ("SUBSZ", AccountDocument::Subsz),
    ("CONNZ", AccountDocument::Connz),
    ("LEAFZ", AccountDocument::Leafz),
    ("JSZ", AccountDocument::Jsz),
    ("INFO", AccountDocument::Info),
    ("STATZ", AccountDocument::Statz),
    ("CONNS", AccountDocument::Conns),
];

const USER_INFO: &str = "$SYS.REQ.USER.INFO";

/// What is served in the system account of this server. A name that cannot be part of a subject is not
/// listened to; the id always is.
pub(super) fn of_system_account(id: &str, name: &str) -> Vec<(SubjectFilter, Question)> {
    let mut served = vec![
        (
            "$SYS.REQ.SERVER.PING".to_owned(),
            Question::Server(ServerDocument::Statsz),
        ),
        (format!("$SYS.REQ.SERVER.{id}.KICK"), Question::Kick),
        (format!("$SYS.REQ.SERVER.{id}.LDM"), Question::SendAway),
        (format!("$SYS.REQ.SERVER.{id}.RELOAD"), Question::Reload),
        (USER_INFO.to_owned(), Question::UserInfo),
    ];
    let mut targets = vec!["PING", id];
    if name != id {
        targets.push(name);
    }
    for target in targets {
        served.extend(SERVER_DOCUMENTS.iter().map(|(token, document)| {
            let subject = format!("$SYS.REQ.SERVER.{target}.{token}");
            (subject, Question::Server(*document))
        }));
    }
    served.extend(ACCOUNT_DOCUMENTS.iter().map(|(token, document)| {
        let subject = format!("$SYS.REQ.ACCOUNT.*.{token}");
        (subject, Question::Account(*document))
    }));
    filters(served)
}

/// What is served in the ordinary account.
pub(super) fn of_ordinary_account() -> Vec<(SubjectFilter, Question)> {
    filters(vec![
        (USER_INFO.to_owned(), Question::UserInfo),
        (
            "$SYS.REQ.ACCOUNT.PING.CONNZ".to_owned(),
            Question::OwnAccount(AccountDocument::Connz),
        ),
        (
            "$SYS.REQ.SERVER.PING.CONNZ".to_owned(),
            Question::OwnAccount(AccountDocument::Connz),
        ),
        (
            "$SYS.REQ.ACCOUNT.PING.STATZ".to_owned(),
            Question::OwnAccount(AccountDocument::Statz),
        ),
    ])
}

fn filters(served: Vec<(String, Question)>) -> Vec<(SubjectFilter, Question)> {
    let filter = |(subject, question)| Some((SubjectFilter::new(subject).ok()?, question));
    served.into_iter().filter_map(filter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_answers_to_its_id_and_to_its_name() {
        let served = of_system_account("NX", "orders-1");
        let asked = |subject: &str| {
            let found = served.iter().find(|(filter, _)| filter.matches(subject));
            found.map(|(_, question)| *question)
        };
        let health = Some(Question::Server(ServerDocument::Healthz));
        assert_eq!(asked("$SYS.REQ.SERVER.PING.HEALTHZ"), health);
        assert_eq!(asked("$SYS.REQ.SERVER.NX.HEALTHZ"), health);
        assert_eq!(asked("$SYS.REQ.SERVER.orders-1.HEALTHZ"), health);
        assert_eq!(asked("$SYS.REQ.SERVER.other.HEALTHZ"), None);
        for order in ["KICK", "LDM", "RELOAD"] {
            assert!(asked(&format!("$SYS.REQ.SERVER.NX.{order}")).is_some());
            assert_eq!(asked(&format!("$SYS.REQ.SERVER.orders-1.{order}")), None);
        }
        let conns = Some(Question::Account(AccountDocument::Conns));
        assert_eq!(asked("$SYS.REQ.ACCOUNT.$G.CONNS"), conns);
    }
}
