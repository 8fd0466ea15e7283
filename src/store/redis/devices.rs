//! Devices that wait for their user.

use super::{
    RedisStore,
    error::damaged,
    keys::Kind,
    rows::{Found, decision},
    scripts,
};
use crate::{
    clock::Timestamp,
    id::ClientId,
    secret::Digest,
    store::{
        BeginDevice, DecideDevice, DeviceTokens, PollDevice, RedeemDevice, StoreError,
        record::{DeviceDecision, DeviceRecord},
        transition,
    },
};

type Result<T> = std::result::Result<T, StoreError>;

impl RedisStore {
    pub(super) async fn begin(
        &self,
        device: &Digest,
        record: &DeviceRecord,
        max: u64,
        now: Timestamp,
    ) -> Result<BeginDevice> {
        let call = self
            .ask_at(&scripts::BEGIN_DEVICE, now)
            .record(Kind::Device, self.keys.digest(Kind::Device, device), record)?
            .key(self.keys.user_code(&record.user_code))
            .number(max);
        let outcome: String = self.link.call(&call).await?;
        Ok(match &*outcome {
            "begun" => BeginDevice::Begun,
            "taken" => BeginDevice::UserCodeTaken,
            "full" => BeginDevice::Full,
            _ => return Err(damaged(outcome)),
        })
    }

    pub(super) async fn device_of(
        &self,
        user_code: &Digest,
        now: Timestamp,
    ) -> Result<Option<DeviceRecord>> {
        let call = self
            .ask(&scripts::DEVICE_BY_USER_CODE)
            .key(self.keys.user_code(user_code));
        let found: Found = self.link.call(&call).await?;
        let device: Option<DeviceRecord> = found.row()?;
        Ok(device.filter(|device| now < device.expires_at))
    }

    pub(super) async fn decide(
        &self,
        user_code: &Digest,
        decided: DecideDevice,
        now: Timestamp,
    ) -> Result<bool> {
        let call = self
            .ask_at(&scripts::DECIDE_DEVICE, now)
            .key(self.keys.user_code(user_code));
        let call = match decided {
            DecideDevice::Approve { grant, consent } => call
                .arg(decision(&DeviceDecision::Approved { grant: grant.id }))
                .flag(true)
                .grant(&grant)?
                .remember(consent.as_ref())?,
            DecideDevice::Deny => call
                .arg(decision(&DeviceDecision::Denied))
                .flag(false)
                .remember(None)?,
        };
        self.link.call(&call).await
    }

    pub(super) async fn poll(
        &self,
        device: &Digest,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<PollDevice> {
        let call = self
            .ask_at(&scripts::POLL_DEVICE, now)
            .key(self.keys.digest(Kind::Device, device))
            .arg(client.as_str())
            .number(transition::SLOW_DOWN);
        let (outcome, found, grant): (String, Found, Found) = self.link.call(&call).await?;
        Ok(match &*outcome {
            "pending" => PollDevice::Pending,
            "slow_down" => PollDevice::SlowDown {
                interval: found.get("interval")?,
            },
            "denied" => PollDevice::Denied,
            "expired" => PollDevice::Expired,
            "unknown" => PollDevice::Unknown,
            "approved" => match found.row()?.zip(grant.row()?) {
                Some((record, grant)) => PollDevice::Approved { record, grant },
                None => return Err(damaged(outcome)),
            },
            _ => return Err(damaged(outcome)),
        })
    }

    pub(super) async fn redeem_approved(
        &self,
        device: &Digest,
        redeem: DeviceTokens,
        now: Timestamp,
    ) -> Result<RedeemDevice> {
        let call = self
            .ask_at(&scripts::REDEEM_DEVICE, now)
            .key(self.keys.digest(Kind::Device, device))
            .tokens(&redeem.access, redeem.refresh.as_ref())?
            .maybe(redeem.dpop_jkt)
            .renewal(redeem.renew_client)
            .touch(Kind::Device)
            .touch(Kind::Grant);
        let outcome: String = self.link.call(&call).await?;
        Ok(match &*outcome {
            "redeemed" => RedeemDevice::Redeemed,
            "gone" => RedeemDevice::Gone,
            "revoked" => RedeemDevice::Revoked,
            _ => return Err(damaged(outcome)),
        })
    }
}
