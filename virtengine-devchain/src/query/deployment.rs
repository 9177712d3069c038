//! Deployments, groups, escrow accounts and payments.

use crate::query::page::{check_filter, cut, text_fits};
use crate::query::{Reply, reply};
use crate::rules::{deployment, escrow};
use crate::state::amount::{DENOM, coin};
use crate::state::context::Context;
use crate::state::failure::{Failure, deployment as errors};
use crate::state::keys;
use crate::wire::{dv1, dv4, et, ev1};

pub(super) fn answer(ctx: &mut Context<'_>, path: &str, data: &[u8]) -> Option<Reply> {
    Some(match path {
        "/virtengine.deployment.v1beta4.Query/Deployments" => reply(data, |q| deployments(ctx, q)),
        "/virtengine.deployment.v1beta4.Query/Deployment" => reply(data, |q: dv4::QueryDeploymentRequest| {
            let found = deployment::load(ctx, &q.id.unwrap_or_default())?;
            full(ctx, found.ok_or_else(|| errors::NOT_FOUND.fail())?)
        }),
        "/virtengine.deployment.v1beta4.Query/Group" => reply(data, |q: dv4::QueryGroupRequest| {
            let group = deployment::group(ctx, &q.id.unwrap_or_default())?;
            let group = Some(group.ok_or_else(|| errors::GROUP_NOT_FOUND.fail())?);
            Ok(dv4::QueryGroupResponse { group })
        }),
        "/virtengine.deployment.v1beta4.Query/Params" => reply(data, |_: dv4::QueryParamsRequest| {
            Ok(dv4::QueryParamsResponse {
                params: Some(dv4::Params {
                    min_deposits: vec![coin(DENOM, i128::from(ctx.rules.min_deposit))],
                }),
            })
        }),
        "/virtengine.escrow.v1.Query/Accounts" => reply(data, |q: ev1::QueryAccountsRequest| {
            let mut all: Vec<et::Account> = ctx.list(b"account/")?;
            all.retain(|a| {
                let id = a.id.clone().unwrap_or_default();
                let state = a.state.as_ref().map_or("invalid", |s| s.state().as_str_name());
                text_fits(&q.state, state)
                    && format!("{}/{}", keys::scope_name(id.scope), id.xid).starts_with(&q.xid)
            });
            let (accounts, page) = cut(all, q.pagination);
            Ok(ev1::QueryAccountsResponse {
                accounts,
                pagination: Some(page),
            })
        }),
        "/virtengine.escrow.v1.Query/Payments" => reply(data, |q: ev1::QueryPaymentsRequest| {
            let mut all: Vec<et::Payment> = ctx.list(b"payment/")?;
            all.retain(|p| {
                let id = p.id.clone().unwrap_or_default();
                let aid = id.aid.unwrap_or_default();
                let state = p.state.as_ref().map_or("invalid", |s| s.state().as_str_name());
                text_fits(&q.state, state)
                    && format!("{}/{}/{}", keys::scope_name(aid.scope), aid.xid, id.xid).starts_with(&q.xid)
            });
            let (payments, page) = cut(all, q.pagination);
            Ok(ev1::QueryPaymentsResponse {
                payments,
                pagination: Some(page),
            })
        }),
        _ => return None,
    })
}

fn full(ctx: &mut Context<'_>, deployment: dv1::Deployment) -> Result<dv4::QueryDeploymentResponse, Failure> {
    let id = deployment.id.clone().unwrap_or_default();
    let account = keys::deployment_account(&id.owner, id.dseq);
    Ok(dv4::QueryDeploymentResponse {
        deployment: Some(deployment),
        groups: deployment::groups(ctx, &id)?,
        escrow_account: Some(escrow::record(ctx, &account)?),
    })
}

fn deployments(
    ctx: &mut Context<'_>,
    q: dv4::QueryDeploymentsRequest,
) -> Result<dv4::QueryDeploymentsResponse, Failure> {
    let f = q.filters.unwrap_or_default();
    check_filter(&f.state, &["active", "closed"], q.pagination.as_ref())?;
    let mut all: Vec<dv1::Deployment> = ctx.list(b"deployment/")?;
    all.retain(|d| {
        let id = d.id.clone().unwrap_or_default();
        text_fits(&f.owner, &id.owner)
            && (f.dseq == 0 || f.dseq == id.dseq)
            && text_fits(&f.state, d.state().as_str_name())
    });
    all.sort_by_key(|d| d.state);
    let (some, page) = cut(all, q.pagination);
    let mut out = Vec::new();
    for deployment in some {
        out.push(full(ctx, deployment)?);
    }
    Ok(dv4::QueryDeploymentsResponse {
        deployments: out,
        pagination: Some(page),
    })
}
