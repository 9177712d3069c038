//! The provider's heartbeat (spec/chain.md B.7).

use crate::state::context::Context;
use crate::state::event::Event;
use crate::state::failure::{Failure, other as errors};
use crate::state::keys;
use crate::wire::rv1;

/// `MsgProviderHeartbeat`. The sender need not be a registered provider.
pub(crate) fn heartbeat(
    ctx: &mut Context<'_>,
    msg: &rv1::MsgProviderHeartbeat,
) -> Result<rv1::MsgProviderHeartbeatResponse, Failure> {
    if msg.resource_class == 0 {
        return Err(errors::INVALID_REQUEST.wrap("resource class required"));
    }
    if msg.sequence == 0 {
        return Err(errors::INVALID_REQUEST.wrap("sequence must be positive"));
    }
    let id = if msg.inventory_id.is_empty() {
        format!("{}-{}", msg.provider_address, msg.resource_class)
    } else {
        msg.inventory_id.clone()
    };
    let key = keys::named("inventory", &id);
    if let Some(last) = ctx.load::<rv1::ResourceInventory>(&key)?
        && msg.sequence <= last.heartbeat_sequence
    {
        return Err(errors::STALE_HEARTBEAT.fail());
    }
    let now = Some(ctx.time.into());
    ctx.save(
        key,
        &rv1::ResourceInventory {
            inventory_id: id.clone(),
            provider_address: msg.provider_address.clone(),
            resource_class: msg.resource_class,
            total: msg.total.clone(),
            available: msg.available.clone(),
            locality: msg.locality.clone(),
            active: true,
            heartbeat_sequence: msg.sequence,
            last_heartbeat: now,
            updated_at: now,
        },
    )?;
    ctx.emit(Event::new(
        "resource_heartbeat",
        [("provider", msg.provider_address.clone()), ("inventory_id", id)],
    ));
    Ok(rv1::MsgProviderHeartbeatResponse {
        accepted: true,
        sequence_ack: msg.sequence,
    })
}
