//! Where the parts of a file are that mutants change.

use std::{collections::HashMap, ops::Range};

use proc_macro2::Span;
use syn::{spanned::Spanned, visit::Visit};

/// Bytes of the file.
pub type Bytes = Range<usize>;

pub struct Binary {
    pub whole: Bytes,
    pub left: Bytes,
    pub right: Bytes,
    /// Of a chain with a `let` in it, where no other operator may stand.
    pub has_let: bool,
}

pub struct Unary {
    pub whole: Bytes,
    pub operand: Bytes,
}

pub struct Arm {
    pub guard: Option<Bytes>,
    /// Where a guard goes that is not there yet.
    pub pattern_end: usize,
}

pub struct Field {
    pub whole: Bytes,
    pub name: String,
    pub value: Bytes,
    /// The type of the struct, and what gives the fields that are not written.
    pub path: Bytes,
    pub rest: Bytes,
}

/// A function that may be called while compiling, and could do without.
pub struct ConstFn {
    pub keyword: Bytes,
    pub whole: Bytes,
}

/// By the byte where what is replaced or deleted begins.
#[derive(Default)]
pub struct Syntax {
    pub binaries: HashMap<usize, Binary>,
    pub unaries: HashMap<usize, Unary>,
    pub arms: HashMap<usize, Arm>,
    pub fields: HashMap<usize, Field>,
    /// What is computed while compiling: nothing can be switched on there.
    pub constants: Vec<Bytes>,
    pub const_fns: Vec<ConstFn>,
}

impl Syntax {
    pub fn parse(text: &str) -> syn::Result<Self> {
        let mut syntax = Self::default();
        syntax.visit_file(&syn::parse_file(text)?);
        Ok(syntax)
    }

    fn note_const(&mut self, signature: &syn::Signature, whole: Bytes) {
        if let Some(keyword) = &signature.constness {
            let keyword = bytes(keyword);
            self.const_fns.push(ConstFn { keyword, whole });
        }
    }
}

fn bytes(node: &impl Spanned) -> Bytes {
    node.span().byte_range()
}

fn start(span: Span) -> usize {
    span.byte_range().start
}

/// Whether it is a `let`, or a chain of conditions with one in it.
fn has_let(expr: &syn::Expr) -> bool {
    match expr {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Syntax {
    fn visit_expr_binary(&mut self, node: &'ast syn::ExprBinary) {
        let binary = Binary {
            whole: bytes(node),
            left: bytes(&node.left),
            right: bytes(&node.right),
            has_let: has_let(&node.left) || has_let(&node.right),
        };
        self.binaries.insert(start(node.op.span()), binary);
        syn::visit::visit_expr_binary(self, node);
    }

    fn visit_expr_unary(&mut self, node: &'ast syn::ExprUnary) {
        let unary = Unary {
            whole: bytes(node),
            operand: bytes(&node.expr),
        };
        self.unaries.insert(unary.whole.start, unary);
        syn::visit::visit_expr_unary(self, node);
    }

    fn visit_arm(&mut self, node: &'ast syn::Arm) {
        let arm = Arm {
            guard: node.guard.as_ref().map(|(_, guard)| bytes(guard)),
            pattern_end: bytes(&node.pat).end,
        };
        self.arms.insert(bytes(node).start, arm);
        syn::visit::visit_arm(self, node);
    }

    fn visit_expr_struct(&mut self, node: &'ast syn::ExprStruct) {
        if let Some(rest) = &node.rest {
            for field in &node.fields {
                let syn::Member::Named(name) = &field.member else {
                    continue;
                };
                let field = Field {
                    whole: bytes(field),
                    name: name.to_string(),
                    value: bytes(&field.expr),
                    path: bytes(&node.path),
                    rest: bytes(rest),
                };
                self.fields.insert(field.whole.start, field);
            }
        }
        syn::visit::visit_expr_struct(self, node);
    }

    fn visit_item_const(&mut self, node: &'ast syn::ItemConst) {
        self.constants.push(bytes(node));
    }

    fn visit_impl_item_const(&mut self, node: &'ast syn::ImplItemConst) {
        self.constants.push(bytes(node));
    }

    fn visit_trait_item_const(&mut self, node: &'ast syn::TraitItemConst) {
        self.constants.push(bytes(node));
    }

    fn visit_item_static(&mut self, node: &'ast syn::ItemStatic) {
        self.constants.push(bytes(node));
    }

    fn visit_type_array(&mut self, node: &'ast syn::TypeArray) {
        self.constants.push(bytes(&node.len));
    }

    fn visit_expr_repeat(&mut self, node: &'ast syn::ExprRepeat) {
        self.constants.push(bytes(&node.len));
        self.visit_expr(&node.expr);
    }

    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        self.note_const(&node.sig, bytes(node));
        syn::visit::visit_item_fn(self, node);
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        self.note_const(&node.sig, bytes(node));
        syn::visit::visit_impl_item_fn(self, node);
    }
}
