//! Who may connect, and what they may do.
//!
//! | file | noun |
//! |---|---|
//! | `user` | [`User`]: a name, a password, an account, permissions |
//! | `password` | comparing passwords and tokens |
//! | `permissions` | [`Permissions`]: subjects a user may publish and subscribe to |
//! | `responses` | the right to answer a request, given with the request |
//!
//! Decisions only: texts of errors and closing are the connection's. Follows nats-server 2.15
//! (`server/auth.go`); users of operators, by nkey or by JWT, do not exist yet.

mod password;
mod permissions;
mod responses;
mod user;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hitherto_protocol::{Connect, Secret};

use self::password::Password;
use crate::Error;
use crate::account::Account;

pub(crate) use permissions::DeliveryGuard;
pub use permissions::{Permissions, SubjectRules};
use responses::ResponseGrants;
pub use responses::ResponseRule;
pub use user::User;

/// A client has so long to send CONNECT where it must: 2 s.
pub const AUTH_TIMEOUT: Duration = Duration::from_secs(2);

/// Who may connect to a node. Without users and token, which is the default, everybody may.
///
/// # Examples
/// ```
/// use hitherto_broker::auth::{Auth, Permissions, User};
///
/// let clerk = User::new("clerk", "s3cr3t").permissions(
///     Permissions::new()
///         .allow_publish(["orders.>"])?
///         .allow_subscribe(["_INBOX.>"])?,
/// );
/// let auth = Auth::new().user(clerk);
/// # Ok::<(), hitherto_broker::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Auth {
    users: BTreeMap<String, Arc<User>>,
    token: Option<Arc<Password>>,
    /// The user of those who bring no credentials.
    no_auth_user: Option<String>,
    timeout: Duration,
}

/// Who a client has turned out to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Admission {
    /// `None` where there are no users: by token, or without any authentication.
    user: Option<Arc<User>>,
    pub(crate) account: Account,
    /// The token it came with, to see whether it still holds after a reload.
    token: Option<Arc<Password>>,
    /// It brought nothing, and nothing was asked for.
    anonymous: bool,
}

impl Auth {
    /// Everybody may connect.
    pub fn new() -> Self {
        Self {
            users: BTreeMap::new(),
            token: None,
            no_auth_user: None,
            timeout: AUTH_TIMEOUT,
        }
    }

    /// Lets a user in; one of the same name is replaced.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.users.insert(user.name().to_owned(), Arc::new(user));
        self
    }

    /// Lets those in who bring this token, plain or as a bcrypt hash.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Arc::new(Password::new(token.into())));
        self
    }

    /// Lets clients without credentials in as this user.
    #[must_use]
    pub fn no_auth_user(mut self, name: impl Into<String>) -> Self {
        self.no_auth_user = Some(name.into());
        self
    }

    /// How long a client may take to send CONNECT; default [`AUTH_TIMEOUT`].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Refuses what contradicts itself.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |setting, problem: &str| {
            Err(Error::Config {
                setting,
                problem: problem.into(),
            })
        };
        if self.token.is_some() && !self.users.is_empty() {
            return wrong("authorization", "cannot have a token and users");
        }
        match &self.no_auth_user {
            Some(name) if !self.users.contains_key(name) => {
                wrong("no_auth_user", &format!("there is no user {name:?}"))
            }
            _ => Ok(()),
        }
    }

    /// How long a client may take to send CONNECT.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.timeout
    }

    /// What INFO says about it before CONNECT: as nats-server, no only for the sake of a `no_auth_user`.
    pub(crate) fn is_announced(&self) -> bool {
        self.has_credentials() && self.no_auth_user.is_none()
    }

    /// Tells whether there are credentials a client can bring.
    pub(crate) fn has_credentials(&self) -> bool {
        self.token.is_some() || !self.users.is_empty()
    }

    /// Who a client is that brings nothing: before CONNECT, or with a CONNECT without credentials. `None`
    /// when it must bring something.
    pub(crate) fn without_credentials(&self) -> Option<Admission> {
        if let Some(name) = &self.no_auth_user {
            return self.users.get(name).map(Admission::of);
        }
        // With users of the system account alone, the others need none, as in nats-server.
        let only_system = self
            .users
            .values()
            .all(|user| user.account() == Account::System);
        (self.token.is_none() && only_system).then(|| Admission {
            anonymous: true,
            ..Admission::default()
        })
    }

    /// Decides about a CONNECT. Takes the time a bcrypt hash takes where the password is one.
    pub(crate) async fn admit(&self, connect: &Connect) -> Option<Admission> {
        if let Some(token) = &self.token {
            let given = connect.auth_token.as_ref().map_or("", Secret::expose);
            return token.matches(given).await.then(|| Admission {
                token: Some(Arc::clone(token)),
                ..Admission::default()
            });
        }
        let Some(name) = &connect.user else {
            // Credentials of a kind that is not asked for are not none.
            let has_other = connect.auth_token.is_some() || connect.jwt.is_some();
            return match has_other && self.has_credentials() {
                true => None,
                false => self.without_credentials(),
            };
        };
        let Some(user) = self.users.get(name) else {
            // Where nobody needs a user, any is as good as none.
            return if self.users.is_empty() {
                self.without_credentials()
            } else {
                None
            };
        };
        let given = connect.pass.as_ref().map_or("", Secret::expose);
        let is_right = user.password().matches(given).await;
        (is_right && user.may_use_tcp()).then(|| Admission::of(user))
    }

    /// Who a client is that was let in before these rules were. `None` when it would not be any more.
    pub(crate) fn readmit(&self, admitted: &Admission) -> Option<Admission> {
        if let Some(user) = &admitted.user {
            let now = self.users.get(user.name())?;
            let is_same = now.password() == user.password() && now.account() == user.account();
            return (is_same && now.may_use_tcp()).then(|| Admission::of(now));
        }
        if admitted.anonymous {
            return self.without_credentials();
        }
        (self.token == admitted.token).then(|| admitted.clone())
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self::new()
    }
}

impl Admission {
    fn of(user: &Arc<User>) -> Self {
        Self {
            account: user.account(),
            user: Some(Arc::clone(user)),
            ..Self::default()
        }
    }

    /// Its name; `None` where nobody has one.
    pub(crate) fn user_name(&self) -> Option<&str> {
        self.user.as_ref().map(|user| user.name())
    }

    /// What the client may do; `None` means everything.
    pub(crate) fn permissions(&self) -> Option<&Permissions> {
        self.user.as_ref().and_then(|user| user.granted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(user: &str, pass: &str) -> Connect {
        Connect {
            user: Some(user.into()),
            pass: Some(Secret::from(pass.to_owned())),
            ..Connect::default()
        }
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_is_let_in() {
        let auth = Auth::new().user(User::new("a", "secret"));
        assert!(auth.without_credentials().is_none());
        assert!(auth.admit(&connect("a", "secret")).await.is_some());
        for (user, pass) in [("a", "Secret"), ("a", ""), ("b", "secret")] {
            assert!(auth.admit(&connect(user, pass)).await.is_none(), "{user}");
        }
        assert!(auth.admit(&Connect::default()).await.is_none());
    }

    #[tokio::test]
    async fn a_hashed_password_is_compared_by_its_hash() {
        // "bar", cost 4.
        let hash = bcrypt::hash("bar", 4).unwrap();
        let auth = Auth::new().user(User::new("a", hash.clone()));
        assert!(auth.admit(&connect("a", "bar")).await.is_some());
        assert!(auth.admit(&connect("a", "foo")).await.is_none());
        assert!(auth.admit(&connect("a", &hash)).await.is_none());
    }

    #[tokio::test]
    async fn a_token_is_asked_for_where_there_is_one() {
        let auth = Auth::new().token("t0ken");
        let with = |token: &str| Connect {
            auth_token: Some(Secret::from(token.to_owned())),
            ..Connect::default()
        };
        assert!(auth.admit(&with("t0ken")).await.is_some());
        assert!(auth.admit(&with("token")).await.is_none());
        assert!(auth.admit(&Connect::default()).await.is_none());
        assert!(auth.token("x").user(User::new("a", "")).check().is_err());
    }

    #[tokio::test]
    async fn who_brings_nothing_is_the_no_auth_user() {
        let auth = Auth::new().user(User::new("a", "x")).no_auth_user("a");
        assert!(auth.without_credentials().is_some());
        let admitted = auth.admit(&Connect::default()).await.unwrap();
        assert_eq!(admitted.user.unwrap().name(), "a");
        assert!(auth.admit(&connect("a", "wrong")).await.is_none());
        assert!(Auth::new().no_auth_user("b").check().is_err());
    }

    #[tokio::test]
    async fn users_of_the_system_account_do_not_keep_others_out() {
        let auth = Auth::new().user(User::new("sys", "x").system());
        assert!(auth.without_credentials().is_some());
        let anybody = auth.admit(&Connect::default()).await.unwrap();
        assert_eq!(anybody.account, Account::Ordinary);
        let system = auth.admit(&connect("sys", "x")).await.unwrap();
        assert_eq!(system.account, Account::System);
        assert!(auth.admit(&connect("other", "")).await.is_none());
    }

    #[tokio::test]
    async fn after_a_change_of_rules_some_stay_and_some_go() {
        let before = Auth::new()
            .user(User::new("a", "x"))
            .user(User::new("b", "x"));
        let a = before.admit(&connect("a", "x")).await.unwrap();
        let b = before.admit(&connect("b", "x")).await.unwrap();
        let after = Auth::new()
            .user(User::new("a", "x"))
            .user(User::new("b", "y"));
        assert!(after.readmit(&a).is_some());
        assert!(after.readmit(&b).is_none());
        let anybody = Auth::new().without_credentials().unwrap();
        assert!(after.readmit(&anybody).is_none());
        assert!(Auth::new().readmit(&anybody).is_some());
    }
}
