//! Users, roles, rights, tokens and policies.

use datafusion_sql::sqlparser::ast::Ident;
use datafusion_sql::sqlparser::tokenizer::Token;

use super::{Parser, words_end};
use crate::error::Result;
use crate::statement::{
    Access, AccountOptions, CreateAccount, CreatePolicy, ObjectKind, Password, Rights, RightsOn,
    SqlExpr, Statement,
};

const NAME: &str = "the name of a user or role";

impl Parser<'_, '_> {
    /// Whether what is to be created, altered or dropped is of this file.
    pub(super) fn is_access_object(&self) -> bool {
        ["ROLE", "USER", "TOKEN", "POLICY"]
            .iter()
            .any(|word| self.peek_words(&[word]))
    }

    /// After `CREATE`.
    pub(super) fn create_access(&mut self) -> Result<Statement> {
        let access = if self.take(&["TOKEN"]) {
            self.create_token()?
        } else if self.take(&["POLICY"]) {
            self.create_policy()?
        } else {
            self.create_account()?
        };
        Ok(Statement::Access(access))
    }

    /// After `ALTER`.
    pub(super) fn alter_access(&mut self) -> Result<Statement> {
        for word in ["TOKEN", "POLICY"] {
            if self.peek_words(&[word]) {
                let what = format!("ALTER {word}");
                return Err(self.unsupported(&what, Some("drop it and create it again")));
            }
        }
        if !self.take(&["USER"]) {
            self.expect(&["ROLE"])?;
        }
        let name = self.ident(NAME)?;
        let mut rename_to = None;
        let mut options = AccountOptions::default();
        if self.take(&["RENAME", "TO"]) {
            rename_to = Some(self.ident("a new name")?);
        } else {
            self.take(&["WITH"]);
            if self.at_end() {
                return Err(self.expected("what to alter: PASSWORD, LOGIN, NOLOGIN or VALID UNTIL"));
            }
            while !self.at_end() {
                self.account_option(&mut options)?;
            }
        }
        Ok(Statement::Access(Access::AlterAccount {
            name,
            options,
            rename_to,
        }))
    }

    /// After `DROP`.
    pub(super) fn drop_access(&mut self) -> Result<Statement> {
        let access = if self.take(&["TOKEN"]) {
            self.drop_token()?
        } else if self.take(&["POLICY"]) {
            let if_exists = self.if_exists();
            let name = self.ident("the name of a policy")?;
            self.expect(&["ON"])?;
            let on = self.object_name("the name of a relation")?;
            Access::DropPolicy {
                name,
                on,
                if_exists,
            }
        } else {
            if !self.take(&["USER"]) {
                self.expect(&["ROLE"])?;
            }
            let if_exists = self.if_exists();
            let names = self.idents(NAME)?;
            Access::DropAccounts { names, if_exists }
        };
        Ok(Statement::Access(access))
    }

    /// `GRANT …`, `REVOKE …`.
    pub(super) fn grant_or_revoke(&mut self) -> Result<Statement> {
        let grants = self.take(&["GRANT"]);
        if !grants {
            self.expect(&["REVOKE"])?;
            if self.take(&["TOKEN"]) {
                return self.drop_token().map(Statement::Access);
            }
            for option in [&["GRANT", "OPTION", "FOR"], &["ADMIN", "OPTION", "FOR"]] {
                if self.peek_words(option) {
                    return Err(self.unsupported(&option.join(" "), None));
                }
            }
        }
        let on = self.find(|at| words_end(self.source, at, self.end, &["ON"]).is_some());
        let access = match on {
            None => self.membership(grants)?,
            Some(_) => {
                let privileges = self.privileges()?;
                self.expect(&["ON"])?;
                let on = self.rights_on()?;
                self.expect(&[if grants { "TO" } else { "FROM" }])?;
                let whom = self.grantees()?;
                let rights = Rights {
                    privileges,
                    on,
                    whom,
                };
                match grants {
                    true => Access::Grant(rights),
                    false => Access::Revoke(rights),
                }
            }
        };
        if grants {
            for option in [&["WITH", "GRANT"], &["WITH", "ADMIN"]] {
                if self.peek_words(option) {
                    let what = format!("{} OPTION", option.join(" "));
                    let hint = "owners and admins grant; make the user a member of the owner";
                    return Err(self.unsupported(&what, Some(hint)));
                }
            }
        } else if !self.take(&["CASCADE"]) {
            // Nothing depends on what is granted.
            self.take(&["RESTRICT"]);
        }
        if self.peek_words(&["GRANTED", "BY"]) {
            return Err(self.unsupported("GRANTED BY", None));
        }
        Ok(Statement::Access(access))
    }

    /// `GRANT role TO role`: without `ON`.
    fn membership(&mut self, grants: bool) -> Result<Access> {
        let roles = self.idents("the name of a role, or a right and ON")?;
        self.expect(&[if grants { "TO" } else { "FROM" }])?;
        let whom = self.grantees()?;
        Ok(match grants {
            true => Access::GrantRoles { roles, to: whom },
            false => Access::RevokeRoles { roles, from: whom },
        })
    }

    fn grantees(&mut self) -> Result<Vec<Ident>> {
        let mut names = Vec::new();
        loop {
            for word in ["GROUP", "ROLE", "USER"] {
                // As in PostgreSQL, where the word says nothing; a name of its own stands alone.
                if self.peek_words(&[word]) && matches!(self.peek_second(), Token::Word(_)) {
                    self.bump();
                    break;
                }
            }
            names.push(self.ident(NAME)?);
            if !self.take_token(&Token::Comma) {
                return Ok(names);
            }
        }
    }

    fn privileges(&mut self) -> Result<Option<Vec<Ident>>> {
        if self.take(&["ALL"]) {
            self.take(&["PRIVILEGES"]);
            return Ok(None);
        }
        let mut privileges = Vec::new();
        loop {
            privileges.push(self.ident("a privilege")?);
            if *self.peek() == Token::LParen {
                let hint = "hide columns with CREATE POLICY … MASK";
                return Err(self.unsupported("a privilege on columns", Some(hint)));
            }
            if !self.take_token(&Token::Comma) {
                return Ok(Some(privileges));
            }
        }
    }

    fn rights_on(&mut self) -> Result<RightsOn> {
        const NAMES: &str = "a name";
        if self.take(&["ALL"]) {
            let kind = self.plural_kind()?;
            self.expect(&["IN", "SCHEMA"])?;
            return Ok(RightsOn::AllIn(kind, self.object_names(NAMES)?));
        }
        if self.take(&["SERVER"]) {
            return Ok(RightsOn::Server);
        }
        if self.peek_words(&["TOPIC"]) && matches!(self.peek_second(), Token::Word(_)) {
            let hint = "grant on the stream of the topic";
            return Err(self.unsupported("GRANT ON TOPIC", Some(hint)));
        }
        Ok(match self.object_kind() {
            Some(ObjectKind::Schema) => RightsOn::Schemas(self.object_names(NAMES)?),
            Some(ObjectKind::Connection) => RightsOn::Connections(self.object_names(NAMES)?),
            Some(ObjectKind::Table) | None => RightsOn::Relations(None, self.object_names(NAMES)?),
            Some(kind) => RightsOn::Relations(Some(kind), self.object_names(NAMES)?),
        })
    }

    fn plural_kind(&mut self) -> Result<Option<ObjectKind>> {
        const KINDS: [(&[&str], Option<ObjectKind>); 8] = [
            (&["TABLES"], None),
            (&["RELATIONS"], None),
            (&["STREAMS"], Some(ObjectKind::Stream)),
            (&["SOURCES"], Some(ObjectKind::Stream)),
            (&["EXTERNAL", "TABLES"], Some(ObjectKind::ExternalTable)),
            (&["VIEWS"], Some(ObjectKind::View)),
            (
                &["MATERIALIZED", "VIEWS"],
                Some(ObjectKind::MaterializedView),
            ),
            (&["SINKS"], Some(ObjectKind::Sink)),
        ];
        KINDS
            .into_iter()
            .find(|(words, _)| self.take(words))
            .map(|(_, kind)| kind)
            .ok_or_else(|| self.expected("TABLES, STREAMS, VIEWS, MATERIALIZED VIEWS or SINKS"))
    }

    fn create_account(&mut self) -> Result<Access> {
        let mut is_user = self.take(&["USER"]);
        if !is_user {
            self.expect(&["ROLE"])?;
        }
        let if_not_exists = self.if_not_exists();
        let name = self.ident(NAME)?;
        self.take(&["WITH"]);
        let mut options = AccountOptions::default();
        let mut in_roles = Vec::new();
        while !self.at_end() {
            if self.take(&["IN", "ROLE"]) || self.take(&["IN", "GROUP"]) {
                in_roles.extend(self.idents("the name of a role")?);
            } else {
                self.account_option(&mut options)?;
            }
        }
        // A role that logs in is a user, as in PostgreSQL.
        is_user |= options.login == Some(true);
        Ok(Access::CreateAccount(CreateAccount {
            is_user,
            name,
            if_not_exists,
            options,
            in_roles,
        }))
    }

    fn account_option(&mut self, options: &mut AccountOptions) -> Result<()> {
        const UNSUPPORTED: [&str; 14] = [
            "SUPERUSER",
            "CREATEDB",
            "CREATEROLE",
            "INHERIT",
            "NOINHERIT",
            "REPLICATION",
            "BYPASSRLS",
            "CONNECTION",
            "ROLE",
            "ADMIN",
            "SYSID",
            "SET",
            "RESET",
            "UNENCRYPTED",
        ];
        /// What PostgreSQL's tools say by default, and is so.
        const SO_ANYWAY: [&str; 5] = [
            "NOSUPERUSER",
            "NOCREATEDB",
            "NOCREATEROLE",
            "NOREPLICATION",
            "NOBYPASSRLS",
        ];
        if let Some(word) = UNSUPPORTED.iter().find(|word| self.peek_words(&[word])) {
            let hint = match *word {
                "SUPERUSER" | "CREATEROLE" | "BYPASSRLS" => Some("GRANT admin TO the user"),
                _ => None,
            };
            return Err(self.unsupported(word, hint));
        }
        if SO_ANYWAY.iter().any(|word| self.take(&[word])) {
            return Ok(());
        }
        self.take(&["ENCRYPTED"]);
        let twice = if self.take(&["PASSWORD"]) {
            let password = match self.take(&["NULL"]) {
                true => None,
                false => Some(Password(self.string("a password")?)),
            };
            options.password.replace(password).is_some()
        } else if self.take(&["LOGIN"]) {
            options.login.replace(true).is_some()
        } else if self.take(&["NOLOGIN"]) {
            options.login.replace(false).is_some()
        } else if self.take(&["VALID", "UNTIL"]) {
            let until = self.string("a moment")?;
            options.valid_until.replace(until).is_some()
        } else {
            return Err(self.expected_without_text(
                "PASSWORD, LOGIN, NOLOGIN, VALID UNTIL or the end of the statement",
            ));
        };
        match twice {
            true => Err(self.expected_without_text("each option once")),
            false => Ok(()),
        }
    }

    fn create_token(&mut self) -> Result<Access> {
        let name = self.ident("the name of a token")?;
        let user = match self.take(&["FOR"]) {
            true => Some(self.ident("the name of a user")?),
            false => None,
        };
        let scope = match self.take(&["SCOPE"]) {
            true => Some(self.idents("a privilege")?),
            false => None,
        };
        let expires = match self.take(&["EXPIRES"]) {
            true => Some(self.part(self.end).sql_expr()?),
            false => None,
        };
        Ok(Access::CreateToken {
            name,
            user,
            scope,
            expires,
        })
    }

    fn drop_token(&mut self) -> Result<Access> {
        let if_exists = self.if_exists();
        let name = self.ident("the name of a token")?;
        let user = match self.take(&["FOR"]) {
            true => Some(self.ident("the name of a user")?),
            false => None,
        };
        Ok(Access::DropToken {
            name,
            user,
            if_exists,
        })
    }

    fn create_policy(&mut self) -> Result<Access> {
        let name = self.ident("the name of a policy")?;
        self.expect(&["ON"])?;
        let on = self.object_name("the name of a relation")?;
        if self.peek_words(&["AS"]) {
            let hint = "all policies that apply to somebody hold together";
            return Err(self.unsupported("AS PERMISSIVE or RESTRICTIVE", Some(hint)));
        }
        if self.take(&["FOR"]) && !self.take(&["SELECT"]) {
            let hint = "a policy is about what is read; write FOR SELECT";
            return Err(self.unsupported("a policy FOR anything but SELECT", Some(hint)));
        }
        self.expect(&["TO"])?;
        let to = self.grantees()?;
        let rows = match self.take(&["USING"]) {
            true => Some(self.expr_in_brackets()?),
            false => None,
        };
        let mut masks = Vec::new();
        if self.take(&["MASK"]) {
            let close = self.after_bracket(self.at);
            self.expect_token(&Token::LParen)?;
            let mut inner = self.part(close.saturating_sub(1).max(self.at));
            loop {
                let column = inner.ident("the name of a column")?;
                inner.expect(&["AS"])?;
                let end = inner.next_comma();
                masks.push((column, inner.part(end).sql_expr()?));
                if !inner.take_token(&Token::Comma) {
                    break;
                }
            }
            inner.finish()?;
            self.expect_token(&Token::RParen)?;
        }
        if self.peek_words(&["WITH"]) {
            return Err(self.unsupported("WITH CHECK", Some("a policy is about what is read")));
        }
        if rows.is_none() && masks.is_empty() {
            return Err(self.expected("USING (condition) or MASK (column AS expression)"));
        }
        Ok(Access::CreatePolicy(CreatePolicy {
            name,
            on,
            to,
            rows,
            masks,
        }))
    }

    fn expr_in_brackets(&mut self) -> Result<SqlExpr> {
        let close = self.after_bracket(self.at);
        self.expect_token(&Token::LParen)?;
        let expr = self.part(close.saturating_sub(1).max(self.at)).sql_expr()?;
        self.expect_token(&Token::RParen)?;
        Ok(expr)
    }

    /// The comma outside of brackets that comes next; the end, if none does.
    fn next_comma(&self) -> usize {
        let mut depth = 0_usize;
        for at in self.at..self.end {
            match self.source.token(at) {
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
                Token::Comma if depth == 0 => return at,
                _ => {}
            }
        }
        self.end
    }
}
