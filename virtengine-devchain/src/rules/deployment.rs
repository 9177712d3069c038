//! Deployments and their groups.

use crate::rules::escrow::{self, Account};
use crate::rules::market;
use crate::state::amount::{DENOM, int_of};
use crate::state::context::Context;
use crate::state::event;
use crate::state::failure::{Failure, deployment as errors, escrow as escrow_errors, ignore};
use crate::state::keys;
use crate::wire::{dv1, dv4, eid, et};

use dv1::deployment::State as DeploymentState;
use dv4::group::State as GroupState;

pub(crate) fn load(
    ctx: &mut Context<'_>,
    id: &dv1::DeploymentId,
) -> Result<Option<dv1::Deployment>, Failure> {
    ctx.load(&keys::deployment(id))
}

pub(crate) fn groups(ctx: &mut Context<'_>, id: &dv1::DeploymentId) -> Result<Vec<dv4::Group>, Failure> {
    ctx.list(&keys::groups(id))
}

pub(crate) fn group(ctx: &mut Context<'_>, id: &dv1::GroupId) -> Result<Option<dv4::Group>, Failure> {
    ctx.load(&keys::group(id))
}

fn set_group(
    ctx: &mut Context<'_>,
    mut group: dv4::Group,
    state: GroupState,
    what: &str,
) -> Result<(), Failure> {
    group.set_state(state);
    let id = group.id.clone().unwrap_or_default();
    ctx.save(keys::group(&id), &group)?;
    ctx.emit(event::group(what, &id));
    Ok(())
}

/// Pauses a group.
pub(crate) fn pause(ctx: &mut Context<'_>, group: dv4::Group) -> Result<(), Failure> {
    set_group(ctx, group, GroupState::Paused, "Paused")
}

/// The hook of an escrow account that ended: the deployment is closed with all its groups. For any other account it answers an
/// error, which callers ignore.
pub(crate) fn on_account_ended(ctx: &mut Context<'_>, account: &Account) -> Result<(), Failure> {
    let id = deployment_of(&account.id).ok_or_else(|| escrow_errors::INVALID_ID.fail())?;
    let Some(mut deployment) = load(ctx, &id)?.filter(|d| d.state() == DeploymentState::Active) else {
        return Ok(());
    };
    deployment.set_state(DeploymentState::Closed);
    ctx.save(keys::deployment(&id), &deployment)?;
    ctx.emit(event::deployment_closed(&id));
    let state = if account.state == et::State::Overdrawn {
        GroupState::InsufficientFunds
    } else {
        GroupState::Closed
    };
    for group in groups(ctx, &id)? {
        if group.state() == GroupState::Closed {
            continue;
        }
        let group_id = group.id.clone().unwrap_or_default();
        set_group(ctx, group, state, "Closed")?;
        market::close_orders_of(ctx, &group_id)?;
    }
    Ok(())
}

fn deployment_of(id: &eid::Account) -> Option<dv1::DeploymentId> {
    if id.scope() != eid::Scope::Deployment {
        return None;
    }
    let (owner, dseq) = id.xid.split_once('/')?;
    Some(dv1::DeploymentId {
        owner: owner.to_owned(),
        dseq: dseq.parse().ok()?,
    })
}

/// `MsgCreateDeployment`.
pub(crate) fn create(
    ctx: &mut Context<'_>,
    msg: &dv4::MsgCreateDeployment,
) -> Result<dv4::MsgCreateDeploymentResponse, Failure> {
    let id = msg.id.clone().unwrap_or_default();
    if load(ctx, &id)?.is_some() {
        return Err(errors::EXISTS.fail());
    }
    let deposit = msg.deposit.clone().unwrap_or_default();
    let coin = deposit.amount.clone().unwrap_or_default();
    if coin.denom != DENOM {
        return Err(errors::INVALID_DEPOSIT.lose(format_args!("Invalid deposit denomination {}", coin.denom)));
    }
    let least = ctx.rules.min_deposit;
    if int_of(&coin.amount)? < i128::from(least) {
        return Err(
            errors::INVALID_DEPOSIT.wrap(format_args!("Deposit too low - {} < {least}{DENOM}", coin.amount))
        );
    }
    let deposits = escrow::find_deposit(ctx, &id.owner, &deposit)?;
    let deployment = dv1::Deployment {
        id: Some(id.clone()),
        state: DeploymentState::Active.into(),
        hash: msg.hash.clone(),
        created_at: ctx.height,
    };
    ctx.save(keys::deployment(&id), &deployment)?;
    ctx.emit(event::deployment_hashed("Created", &id, &msg.hash));
    for (gseq, spec) in (1_u32..).zip(&msg.groups) {
        let group = dv4::Group {
            id: Some(dv1::GroupId {
                owner: id.owner.clone(),
                dseq: id.dseq,
                gseq,
            }),
            state: GroupState::Open.into(),
            group_spec: Some(spec.clone()),
            created_at: ctx.height,
        };
        ctx.save(keys::group(&group.id.clone().unwrap_or_default()), &group)?;
        market::open_order(ctx, &group)?;
    }
    escrow::open(
        ctx,
        keys::deployment_account(&id.owner, id.dseq),
        &id.owner,
        deposits,
    )?;
    Ok(dv4::MsgCreateDeploymentResponse {})
}

fn active(ctx: &mut Context<'_>, id: &dv1::DeploymentId) -> Result<dv1::Deployment, Failure> {
    let deployment = load(ctx, id)?.ok_or_else(|| errors::NOT_FOUND.fail())?;
    if deployment.state() == DeploymentState::Active {
        Ok(deployment)
    } else {
        Err(errors::CLOSED.fail())
    }
}

/// `MsgUpdateDeployment`.
pub(crate) fn update(
    ctx: &mut Context<'_>,
    msg: &dv4::MsgUpdateDeployment,
) -> Result<dv4::MsgUpdateDeploymentResponse, Failure> {
    let id = msg.id.clone().unwrap_or_default();
    let mut deployment = active(ctx, &id)?;
    if deployment.hash == msg.hash {
        return Err(errors::INVALID_HASH.fail());
    }
    deployment.hash.clone_from(&msg.hash);
    ctx.save(keys::deployment(&id), &deployment)?;
    ctx.emit(event::deployment_hashed("Updated", &id, &msg.hash));
    Ok(dv4::MsgUpdateDeploymentResponse {})
}

/// `MsgCloseDeployment`.
pub(crate) fn close(
    ctx: &mut Context<'_>,
    msg: &dv4::MsgCloseDeployment,
) -> Result<dv4::MsgCloseDeploymentResponse, Failure> {
    let id = msg.id.clone().unwrap_or_default();
    active(ctx, &id)?;
    escrow::close(ctx, &keys::deployment_account(&id.owner, id.dseq))?;
    Ok(dv4::MsgCloseDeploymentResponse {})
}

fn known_group(ctx: &mut Context<'_>, id: &dv1::GroupId) -> Result<dv4::Group, Failure> {
    let group = group(ctx, id)?.ok_or_else(|| errors::GROUP_NOT_FOUND.fail())?;
    if group.state() == GroupState::Closed {
        return Err(errors::GROUP_CLOSED.fail());
    }
    Ok(group)
}

/// `MsgCloseGroup`.
pub(crate) fn close_group(
    ctx: &mut Context<'_>,
    msg: &dv4::MsgCloseGroup,
) -> Result<dv4::MsgCloseGroupResponse, Failure> {
    let id = msg.id.clone().unwrap_or_default();
    let group = known_group(ctx, &id)?;
    set_group(ctx, group, GroupState::Closed, "Closed")?;
    ignore(market::close_orders_of(ctx, &id))?;
    Ok(dv4::MsgCloseGroupResponse {})
}

/// `MsgPauseGroup`.
pub(crate) fn pause_group(
    ctx: &mut Context<'_>,
    msg: &dv4::MsgPauseGroup,
) -> Result<dv4::MsgPauseGroupResponse, Failure> {
    let id = msg.id.clone().unwrap_or_default();
    let group = known_group(ctx, &id)?;
    if group.state() == GroupState::Paused {
        return Err(errors::GROUP_PAUSED.fail());
    }
    pause(ctx, group)?;
    ignore(market::close_orders_of(ctx, &id))?;
    Ok(dv4::MsgPauseGroupResponse {})
}

/// `MsgStartGroup`.
pub(crate) fn start_group(
    ctx: &mut Context<'_>,
    msg: &dv4::MsgStartGroup,
) -> Result<dv4::MsgStartGroupResponse, Failure> {
    let id = msg.id.clone().unwrap_or_default();
    let group = known_group(ctx, &id)?;
    if group.state() == GroupState::Open {
        return Err(errors::GROUP_OPEN.fail());
    }
    set_group(ctx, group.clone(), GroupState::Open, "Started")?;
    market::open_order(ctx, &group)?;
    Ok(dv4::MsgStartGroupResponse {})
}
