//! A user: a name, a password, an account, permissions.

use super::Permissions;
use super::password::Password;
use crate::account::Account;

/// Somebody who may connect. Without permissions a user may publish and subscribe to everything.
#[derive(Debug, Clone)]
pub struct User {
    name: String,
    password: Password,
    account: Account,
    permissions: Option<Permissions>,
    may_use_tcp: bool,
}

impl User {
    /// A user of the ordinary account. The password is plain or a bcrypt hash (`$2a$...`).
    pub fn new(name: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            password: Password::new(password.into()),
            account: Account::Ordinary,
            permissions: None,
            may_use_tcp: true,
        }
    }

    /// Puts the user into the system account.
    #[must_use]
    pub fn system(mut self) -> Self {
        self.account = Account::System;
        self
    }

    /// Limits what the user may do.
    #[must_use]
    pub fn permissions(mut self, permissions: Permissions) -> Self {
        self.permissions = Some(permissions);
        self
    }

    /// Says that the user may not connect over plain TCP or TLS, only by ways that do not exist here.
    pub(crate) fn without_tcp(mut self) -> Self {
        self.may_use_tcp = false;
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn password(&self) -> &Password {
        &self.password
    }

    pub(crate) fn account(&self) -> Account {
        self.account
    }

    pub(super) fn may_use_tcp(&self) -> bool {
        self.may_use_tcp
    }

    /// What the user may do; `None` means everything.
    pub(super) fn granted(&self) -> Option<&Permissions> {
        self.permissions.as_ref()
    }
}
