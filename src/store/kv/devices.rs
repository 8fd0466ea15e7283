//! Devices that wait for their user, each operation inside one transaction. The rows of a user code
//! are found by a scan before, and handed in.

use super::{Read, Tx, keys, ops};
use crate::{
    clock::Timestamp,
    id::ClientId,
    secret::Digest,
    store::{
        BeginDevice, DecideDevice, DeviceTokens, PollDevice, RedeemDevice,
        record::{DeviceDecision, DeviceRecord, GrantRecord},
        transition,
    },
};

type Result<T, X> = std::result::Result<T, <X as Read>::Error>;

pub(crate) fn begin<X: Tx>(
    tx: &mut X,
    same_code: &[Vec<u8>],
    device: &Digest,
    record: &DeviceRecord,
    max: u64,
    now: Timestamp,
) -> Result<BeginDevice, X> {
    if tx.count(keys::DEVICES)? >= max {
        return Ok(BeginDevice::Full);
    }
    if by_user_code(tx, same_code, now)?.is_some() {
        return Ok(BeginDevice::UserCodeTaken);
    }
    tx.put(&keys::device(device), record)?;
    Ok(BeginDevice::Begun)
}

/// The one unexpired device among those that a scan for a user code found, with its key.
pub(crate) fn by_user_code<X: Read>(
    rows: &mut X,
    same_code: &[Vec<u8>],
    now: Timestamp,
) -> Result<Option<(Vec<u8>, DeviceRecord)>, X> {
    for entry in same_code {
        let key = keys::device_of_index(entry);
        if let Some(device) = rows.read::<DeviceRecord>(key)?
            && now < device.expires_at
        {
            return Ok(Some((key.to_vec(), device)));
        }
    }
    Ok(None)
}

pub(crate) fn decide<X: Tx>(
    tx: &mut X,
    same_code: &[Vec<u8>],
    decision: &DecideDevice,
    now: Timestamp,
) -> Result<bool, X> {
    let Some((key, mut device)) = by_user_code(tx, same_code, now)? else {
        return Ok(false);
    };
    if device.decision.is_some() {
        return Ok(false);
    }
    device.decision = Some(match decision {
        DecideDevice::Approve { grant, consent } => {
            let mut grant = grant.clone();
            // Nobody may sweep it before the device comes for its tokens.
            transition::outlive(&mut grant, device.expires_at);
            tx.put(&keys::grant(&grant.id), &grant)?;
            if let Some(consent) = consent {
                ops::remember(tx, consent)?;
            }
            DeviceDecision::Approved { grant: grant.id }
        }
        DecideDevice::Deny => DeviceDecision::Denied,
    });
    tx.put(&key, &device)?;
    Ok(true)
}

pub(crate) fn poll<X: Tx>(
    tx: &mut X,
    device: &Digest,
    client: &ClientId,
    now: Timestamp,
) -> Result<PollDevice, X> {
    let key = keys::device(device);
    let device = tx.read::<DeviceRecord>(&key)?;
    let Some(mut device) = device.filter(|device| device.client_id == *client) else {
        return Ok(PollDevice::Unknown);
    };
    if now >= device.expires_at {
        return Ok(PollDevice::Expired);
    }
    match device.decision {
        Some(DeviceDecision::Denied) => Ok(PollDevice::Denied),
        Some(DeviceDecision::Approved { grant }) => {
            let grant = tx.read::<GrantRecord>(&keys::grant(&grant))?;
            Ok(
                grant.map_or(PollDevice::Unknown, |grant| PollDevice::Approved {
                    record: device,
                    grant,
                }),
            )
        }
        None => {
            let outcome = transition::poll(&mut device, now);
            tx.put(&key, &device)?;
            Ok(outcome)
        }
    }
}

pub(crate) fn redeem<X: Tx>(
    tx: &mut X,
    device: &Digest,
    redeem: &DeviceTokens,
    now: Timestamp,
) -> Result<RedeemDevice, X> {
    let key = keys::device(device);
    let device = tx.read::<DeviceRecord>(&key)?;
    let device = device.filter(|device| now < device.expires_at);
    let Some(DeviceDecision::Approved { grant }) = device.and_then(|device| device.decision) else {
        return Ok(RedeemDevice::Gone);
    };
    let grant_key = keys::grant(&grant);
    let Some(mut grant) = tx.read::<GrantRecord>(&grant_key)? else {
        return Ok(RedeemDevice::Gone);
    };
    if grant.revoked_at.is_some() {
        return Ok(RedeemDevice::Revoked);
    }
    tx.remove::<DeviceRecord>(&key)?;
    transition::bind(&mut grant, redeem.dpop_jkt.as_ref());
    transition::endow(&mut grant, &redeem.access.1, redeem.refresh.as_ref());
    tx.put(&grant_key, &grant)?;
    ops::put_tokens(tx, &redeem.access, redeem.refresh.as_ref())?;
    ops::renew_client(tx, &grant.client_id, redeem.renew_client)?;
    Ok(RedeemDevice::Redeemed)
}
