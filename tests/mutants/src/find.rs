//! The mutants of a source file: what each changes, as edits of the text. All of them are in the
//! code at once, each behind a switch, so that one build serves them all. An edit's `ON` becomes
//! the call that asks whether this mutant is on.

use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, BinOp, Block, Expr, ReturnType, Signature, Stmt, Type, UnOp};

pub const ON: &str = "\u{1}";

/// A piece of text put before or after a node, or in place of an operator.
pub enum Edit {
    Before(usize, String),
    After(usize, String),
    Replace(Range<usize>, String),
}

pub struct Mutant {
    pub line: usize,
    pub what: String,
    pub edits: Vec<Edit>,
}

/// Mutants of a file, outer ones before those inside of them.
pub fn mutants(text: &str) -> syn::Result<Vec<Mutant>> {
    let file = syn::parse_file(text)?;
    let mut finder = Finder { text, found: Vec::new() };
    finder.visit_file(&file);
    Ok(finder.found)
}

struct Finder<'t> {
    text: &'t str,
    found: Vec<Mutant>,
}

/// Methods whose last argument is a closure that answers yes or no.
const PREDICATES: [&str; 13] = [
    "filter",
    "any",
    "all",
    "is_some_and",
    "is_none_or",
    "is_ok_and",
    "is_err_and",
    "retain",
    "find",
    "position",
    "partition",
    "take_while",
    "skip_while",
];

impl Finder<'_> {
    fn range(&self, node: &impl Spanned) -> Range<usize> {
        node.span().byte_range()
    }

    fn text(&self, node: &impl Spanned) -> &str {
        &self.text[self.range(node)]
    }

    fn add(&mut self, node: &impl Spanned, what: String, edits: Vec<Edit>) {
        self.found.push(Mutant { line: node.span().start().line, what, edits });
    }

    fn around(&mut self, node: &impl Spanned, what: String, before: String, after: &str) {
        let Range { start, end } = self.range(node);
        self.add(node, what, vec![Edit::Before(start, before), Edit::After(end, after.to_owned())]);
    }

    fn negate(&mut self, node: &impl Spanned) {
        let what = format!("negated: {}", short(self.text(node)));
        self.around(node, what, "((".to_owned(), &format!(") != {ON})"));
    }

    /// A condition that is no operation on truth values, which are found for themselves.
    fn condition(&mut self, expr: &Expr) {
        match expr {
            Expr::Paren(inner) => self.condition(&inner.expr),
            Expr::Call(_) | Expr::MethodCall(_) | Expr::Path(_) | Expr::Field(_) | Expr::Await(_) | Expr::Try(_) => {
                self.negate(expr)
            }
            _ => {}
        }
    }

    /// Another operator in place of one, on the same text.
    fn replace(&mut self, expr: &syn::ExprBinary, op: &str) {
        let (left, right) = (self.text(&expr.left).to_owned(), self.text(&expr.right).to_owned());
        let what = format!("`{op}` for `{}`: {}", self.text(&expr.op), short(self.text(expr)));
        self.around(expr, what, format!("(if {ON} {{ ({left}) {op} ({right}) }} else {{ ("), ") })");
    }

    fn binary(&mut self, expr: &syn::ExprBinary) {
        match expr.op {
            BinOp::Eq(_) | BinOp::Ne(_) => self.negate(expr),
            BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_) => {
                self.negate(expr);
                let other = match expr.op {
                    BinOp::Lt(_) => "<=",
                    BinOp::Le(_) => "<",
                    BinOp::Gt(_) => ">=",
                    _ => ">",
                };
                self.replace(expr, other);
            }
            BinOp::And(_) | BinOp::Or(_) if !has_let(&expr.left) && !has_let(&expr.right) => {
                let and = matches!(expr.op, BinOp::And(_));
                let (same, otherwise, other) = if and { ("!=", ON.to_owned(), "||") } else { ("==", format!("!{ON}"), "&&") };
                let what = format!("`{other}` for `{}`: {}", self.text(&expr.op), short(self.text(expr)));
                let Range { start, end } = self.range(expr);
                let edits = vec![
                    Edit::Before(start, "(if (".to_owned()),
                    Edit::Replace(self.range(&expr.op), format!(") {same} {ON} {{")),
                    Edit::After(end, format!("}} else {{ {otherwise} }})")),
                ];
                self.add(expr, what, edits);
            }
            BinOp::Add(_) if !is_text(&expr.left) && !is_text(&expr.right) => self.replace(expr, "-"),
            BinOp::Sub(_) => self.replace(expr, "+"),
            BinOp::Mul(_) => self.replace(expr, "/"),
            BinOp::Div(_) | BinOp::Rem(_) => self.replace(expr, "*"),
            _ => {}
        }
    }

    fn statement(&mut self, statement: &Stmt) {
        let Stmt::Expr(expr, Some(_)) = statement else { return };
        let text = self.text(expr).to_owned();
        if let Expr::Binary(binary) = expr {
            let other = match binary.op {
                BinOp::AddAssign(_) => "-=",
                BinOp::SubAssign(_) => "+=",
                _ => return,
            };
            let (left, right) = (self.text(&binary.left), self.text(&binary.right));
            let before = format!("if {ON} {{ {left} {other} {right}; }} else {{ ");
            self.around(statement, format!("`{other}` for `{}`: {}", self.text(&binary.op), short(&text)), before, " }");
        }
        let mut inner = expr;
        while let Expr::Try(syn::ExprTry { expr, .. }) | Expr::Await(syn::ExprAwait { base: expr, .. }) = inner {
            inner = expr;
        }
        // When something is dropped is hardly ever to be seen.
        let is_call = matches!(inner, Expr::Call(_) | Expr::MethodCall(_) | Expr::Assign(_)) && !text.starts_with("drop(");
        if is_call || matches!(expr, Expr::Binary(_)) {
            self.around(statement, format!("left out: {}", short(&text)), format!("if !{ON} {{ "), " }");
        }
    }

    fn function(&mut self, attributes: &[Attribute], signature: &Signature, block: &Block) {
        if signature.constness.is_some() || is_for_tests(attributes) || block.stmts.is_empty() {
            return;
        }
        let start = self.range(&block.brace_token.span.open()).end;
        for value in values(&signature.output) {
            let what = match value.as_str() {
                "" => format!("{} returns at once", signature.ident),
                _ => format!("{} returns {value} at once", signature.ident),
            };
            let edits = vec![Edit::Before(start, format!(" if {ON} {{ return {value}; }}"))];
            self.add(&signature.ident, what, edits);
        }
        self.visit_block(block);
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.attrs, &item.sig, &item.block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.attrs, &item.sig, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.attrs, &item.sig, block);
        }
    }

    // What is computed when the program is built has no switch, and patterns and types have no
    // value.
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_type(&mut self, _: &'ast Type) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_expr_repeat(&mut self, expr: &'ast syn::ExprRepeat) {
        self.visit_expr(&expr.expr);
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        self.statement(statement);
        visit::visit_stmt(self, statement);
    }

    fn visit_expr_binary(&mut self, expr: &'ast syn::ExprBinary) {
        self.binary(expr);
        if matches!(expr.op, BinOp::And(_) | BinOp::Or(_)) {
            for side in [&expr.left, &expr.right] {
                self.condition(side);
            }
        }
        visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_unary(&mut self, expr: &'ast syn::ExprUnary) {
        if matches!(expr.op, UnOp::Not(_)) {
            self.negate(expr);
        }
        visit::visit_expr_unary(self, expr);
    }

    fn visit_expr_macro(&mut self, expr: &'ast syn::ExprMacro) {
        if expr.mac.path.is_ident("matches") {
            self.negate(expr);
        }
    }

    fn visit_expr_if(&mut self, expr: &'ast syn::ExprIf) {
        self.condition(&expr.cond);
        visit::visit_expr_if(self, expr);
    }

    fn visit_expr_while(&mut self, expr: &'ast syn::ExprWhile) {
        self.condition(&expr.cond);
        visit::visit_expr_while(self, expr);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if let Some((_, guard)) = &arm.guard {
            self.condition(guard);
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if PREDICATES.iter().any(|name| call.method == name)
            && let Some(Expr::Closure(closure)) = call.args.last()
        {
            self.condition(&closure.body);
        }
        if call.method == "then" || call.method == "then_some" {
            self.condition(&call.receiver);
        }
        visit::visit_expr_method_call(self, call);
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::NameValue(_) => false,
    })
}

fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

/// Whether an addend is surely a text.
fn is_text(expr: &Expr) -> bool {
    match expr {
        Expr::Lit(lit) => matches!(lit.lit, syn::Lit::Str(_)),
        Expr::Macro(_) | Expr::Reference(_) => true,
        Expr::MethodCall(call) => call.method == "to_owned" || call.method == "to_string",
        Expr::Binary(binary) => is_text(&binary.left) || is_text(&binary.right),
        _ => false,
    }
}

/// What a function may return at once, by its type as it is written. What does not fit, the
/// compiler refuses.
fn values(output: &ReturnType) -> Vec<String> {
    match output {
        ReturnType::Default => vec![String::new()],
        ReturnType::Type(_, ty) => values_of(ty),
    }
}

fn values_of(ty: &Type) -> Vec<String> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
    match ty {
        Type::Tuple(tuple) if tuple.elems.is_empty() => texts(&["()"]),
        Type::Tuple(_) => texts(&["Default::default()"]),
        Type::Reference(reference) => match &*reference.elem {
            Type::Path(path) if path.path.is_ident("str") => texts(&["\"\""]),
            Type::Slice(_) => texts(&["&[]"]),
            _ => Vec::new(),
        },
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else { return Vec::new() };
            let name = last.ident.to_string();
            let argument = match &last.arguments {
                syn::PathArguments::AngleBracketed(of) => of.args.iter().find_map(|it| match it {
                    syn::GenericArgument::Type(ty) => Some(ty),
                    _ => None,
                }),
                _ => None,
            };
            match name.as_str() {
                "bool" => texts(&["true", "false"]),
                "usize" | "u8" | "u16" | "u32" | "u64" | "i32" | "i64" => texts(&["0", "1"]),
                "Box" | "Pin" | "BoxStream" | "BoxFuture" | "Self" => Vec::new(),
                "Option" => texts(&["None"]),
                _ if name.ends_with("Result") => match argument {
                    None => texts(&["Ok(())"]),
                    Some(of) => values_of(of).iter().map(|value| format!("Ok({value})")).collect(),
                },
                _ => texts(&["Default::default()"]),
            }
        }
        _ => Vec::new(),
    }
}

/// Code in one line of a table.
fn short(code: &str) -> String {
    let line = code.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(90) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line,
    }
}
