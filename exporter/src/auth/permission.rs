//! Who may do what: permissions, and the roles that bundle them.
//!
//! Owns: [`Permission`], [`Permissions`], [`Role`]. Does not: know routes (`http/routes.rs` says what each
//! needs). Names are a contract with existing clients, the bundles `read`, `write` and `admin` included.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use veloz_core::labelled;

labelled! {
    /// One thing that somebody may do.
    pub enum Permission {
        /// See the market, and the stream of events.
        ReadMarket = "read:market",
        /// See the configuration and the state of the service.
        ReadConfig = "read:config",
        /// See orders.
        ReadOrders = "read:orders",
        /// See balances and positions.
        ReadAccount = "read:account",
        /// Place orders.
        WriteOrders = "write:orders",
        /// Cancel orders.
        WriteCancel = "write:cancel",
        /// Make and revoke API keys.
        AdminKeys = "admin:keys",
        /// Give and take roles.
        AdminUsers = "admin:users",
        /// Change the configuration, and read the audit log.
        AdminConfig = "admin:config",
    }
}

labelled! {
    /// What a user is.
    pub enum Role {
        /// Looks at the market.
        Viewer = "viewer",
        /// Trades.
        Trader = "trader",
        /// May do everything.
        Admin = "admin",
    }
}

/// Names that stand for several permissions.
const BUNDLES: [(&str, Permissions); 3] = [
    ("read", Permissions::READ),
    ("write", Permissions::WRITE),
    ("admin", Permissions::ADMIN),
];

/// A set of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u16);

impl Permissions {
    /// None.
    pub const NONE: Self = Self(0);
    /// All `read:` ones.
    pub const READ: Self = Self::of(&[
        Permission::ReadMarket,
        Permission::ReadConfig,
        Permission::ReadOrders,
        Permission::ReadAccount,
    ]);
    /// All `write:` ones.
    pub const WRITE: Self = Self::of(&[Permission::WriteOrders, Permission::WriteCancel]);
    /// All `admin:` ones.
    pub const ADMIN: Self = Self::of(&[
        Permission::AdminKeys,
        Permission::AdminUsers,
        Permission::AdminConfig,
    ]);
    /// Every one.
    pub const ALL: Self = Self(Self::READ.0 | Self::WRITE.0 | Self::ADMIN.0);

    /// These.
    pub const fn of(permissions: &[Permission]) -> Self {
        let mut bits = 0;
        let mut position = 0;
        while position < permissions.len() {
            bits |= 1 << permissions[position].index();
            position += 1;
        }
        Self(bits)
    }

    /// Whether this one is among them.
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & (1 << permission.index()) != 0
    }

    /// Those of either.
    #[must_use]
    pub const fn and_also(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of both.
    #[must_use]
    pub const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The ones that a list of names means, bundles included; `Err` names the unknown one.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        names.into_iter().try_fold(Self::NONE, |set, name| {
            let single = Permission::ALL
                .into_iter()
                .find(|permission| permission.label() == name)
                .map(|permission| Self::of(&[permission]));
            let bundle = BUNDLES
                .into_iter()
                .find(|(bundle, _)| *bundle == name)
                .map(|(_, permissions)| permissions);
            single
                .or(bundle)
                .map(|permissions| set.and_also(permissions))
                .ok_or(name)
        })
    }

    /// Their names.
    pub fn labels(self) -> Vec<&'static str> {
        Permission::ALL
            .into_iter()
            .filter(|permission| self.has(*permission))
            .map(Permission::label)
            .collect()
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.labels().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Self::named(names.iter().map(String::as_str))
            .map_err(|name| serde::de::Error::custom(format!("no permission is called {name:?}")))
    }
}

impl Role {
    /// What users of this role may do.
    pub const fn permissions(self) -> Permissions {
        match self {
            Self::Viewer => Permissions::of(&[Permission::ReadMarket, Permission::ReadConfig]),
            Self::Trader => Permissions::READ.and_also(Permissions::WRITE),
            Self::Admin => Permissions::ALL,
        }
    }

    /// The role of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.label() == name)
    }

    /// What somebody with all these roles may do.
    pub fn together(roles: &[Self]) -> Permissions {
        roles.iter().fold(Permissions::NONE, |set, role| {
            set.and_also(role.permissions())
        })
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.label().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name)
            .ok_or_else(|| serde::de::Error::custom(format!("no role is called {name:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matrix that existing clients rely on, cell by cell.
    #[test]
    fn roles_have_the_permissions_of_the_contract() {
        let matrix = [
            (Permission::ReadMarket, [true, true, true]),
            (Permission::ReadConfig, [true, true, true]),
            (Permission::ReadOrders, [false, true, true]),
            (Permission::ReadAccount, [false, true, true]),
            (Permission::WriteOrders, [false, true, true]),
            (Permission::WriteCancel, [false, true, true]),
            (Permission::AdminKeys, [false, false, true]),
            (Permission::AdminUsers, [false, false, true]),
            (Permission::AdminConfig, [false, false, true]),
        ];
        assert_eq!(matrix.len(), Permission::ALL.len());
        for (permission, expected) in matrix {
            for (role, expected) in Role::ALL.into_iter().zip(expected) {
                assert_eq!(
                    role.permissions().has(permission),
                    expected,
                    "{} {}",
                    role.label(),
                    permission.label()
                );
            }
        }
    }

    #[test]
    fn bundles_are_names_too_and_unknown_names_are_told() {
        assert_eq!(
            Permissions::named(["read", "write", "admin"]),
            Ok(Permissions::ALL)
        );
        assert_eq!(
            Permissions::named(["read:market", "write:cancel"]).map(Permissions::labels),
            Ok(vec!["read:market", "write:cancel"])
        );
        assert_eq!(Permissions::named(["read", "fly"]), Err("fly"));
        assert_eq!(Permissions::named([]), Ok(Permissions::NONE));
    }

    #[test]
    fn several_roles_add_up_and_a_key_never_exceeds_its_owner() {
        assert_eq!(Role::together(&[]), Permissions::NONE);
        let both = Role::together(&[Role::Viewer, Role::Trader]);
        assert_eq!(both, Role::Trader.permissions());
        assert_eq!(Permissions::ALL.within(both), both);
    }
}
